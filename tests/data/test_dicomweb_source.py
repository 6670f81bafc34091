"""A DICOMweb server as a source: every clip, once, whatever the server does; and its secrets."""

import logging
import time
from contextlib import contextmanager, suppress

import pytest

pytest.importorskip("dicomweb_client")
from dicom_factory import header, speckle, write
from dicomweb_faults import BOUNDARY, SERIES, STUDY, entry, faulty, multipart
from hypothesis import given
from hypothesis import strategies as st
from orthanc_server import orthanc
from pydicom import dcmread

from data.dicomweb import ATTEMPTS, DicomwebError, Query, address_of, connected
from data.found import Found, Searched
from data.multipart import MultipartError, boundary_of, first_part
from data.web import Credentials, CredentialsError, Limits
from imaging.clip import Clip, ClipError
from imaging.fingerprint import fingerprint

FAST = Limits(connect_s=2, read_s=1, retries=2, backoff_s=0.01, longest_wait_s=0.05)
SECRET = "s3cret-token-of-the-ward"
ALL = Query(study=STUDY)


def clip(folder, uid, seed=0, **elements):
    data = header(48, 64, SOPInstanceUID=uid, StudyInstanceUID=STUDY, **elements)
    data.SeriesInstanceUID = SERIES
    return write(folder / f"{uid}.dcm", data, speckle(seed=seed).tobytes())


@pytest.fixture
def instances(tmp_path):
    return {uid: clip(tmp_path, uid, n).read_bytes() for n, uid in enumerate(("1.5", "1.6", "1.7"))}


@contextmanager
def talking(faults, credentials=None, limits=FAST):
    with connected(address_of(faults.address), credentials or Credentials(), limits) as server:
        yield server


def found_in(server, query=ALL):
    return [item for item in server.search(query) if isinstance(item, Found)]


def fetched(item):
    item.fetch()
    content = item.source.path.read_bytes()
    item.source.discard()
    return content


def failure(faults, limits=FAST, credentials=None):
    """Why the first instance cannot be fetched."""
    with talking(faults, credentials, limits) as server:
        item = found_in(server)[0]
        with pytest.raises(ClipError) as error:
            item.fetch()
        assert not list(server.folder.iterdir())  # nothing half is left
        return str(error.value)


class TestFinding:
    def test_every_instance_comes_once_by_pages(self, instances):
        with faulty(instances) as faults, talking(faults) as server:
            items = list(server.search(ALL))
            assert [item.source.name for item in items[:-1]] == [
                f"{faults.address}/studies/{STUDY}/series/{SERIES}/instances/{uid}"
                for uid in instances
            ]
            assert items[-1] == Searched(faults.address, 3)
            assert faults.count("/instances?") == 3  # two pages and the empty one

    def test_a_server_without_paging_is_not_asked_for_ever(self, instances):
        with faulty(instances) as faults, talking(faults) as server:
            faults.knows_offset, faults.page = False, 10
            assert len(found_in(server)) == 3
            assert faults.count("/instances?") == 2

    def test_studies_since_a_date_of_a_modality(self, instances):
        with faulty(instances) as faults, talking(faults) as server:
            assert len(found_in(server, Query(since="20260131"))) == 3
            asked = faults.asked[0][0]
            assert "StudyDate=20260131-" in asked
            assert "ModalitiesInStudy=US" in asked

    def test_series_of_another_modality_are_left_out(self, instances):
        with faulty(instances) as faults, talking(faults) as server:
            assert found_in(server, Query(study=STUDY, modalities=("SR",))) == []

    @pytest.mark.parametrize("uid", ["../../etc", "1.2/../3", "", "1" * 65, "1.2?x=1", "1.2\n3"])
    def test_what_is_no_uid_never_becomes_a_part_of_an_address(self, uid):
        with faulty() as faults, talking(faults) as server:
            faults.answers["/instances?"] = lambda handler: handler.send(
                f"[{entry(_00080018=uid)}]".replace("'", '"').replace("\n", "\\n").encode()
            )
            (item,) = found_in(server)
            assert "without a valid UID" in item.problem

    def test_a_study_that_cannot_be_listed_is_a_row(self, instances):
        with faulty(instances) as faults, talking(faults) as server:
            faults.answers["/series?"] = lambda handler: handler.send(b"", status=404)
            (item,) = found_in(server)
            assert item.source.name == f"{faults.address}/studies/{STUDY}"
            assert "HTTP status 404" in item.problem

    @pytest.mark.parametrize(
        "content", [b"{", b"[" * 100_000, b'[{"0020000D": 3}]', b"[7]", b'"x"', b"\xff\xfe"]
    )
    def test_a_list_that_is_none_ends_the_search_in_words(self, content):
        with faulty() as faults, talking(faults) as server:
            faults.answers["/studies?"] = lambda handler: handler.send(content)
            with pytest.raises(DicomwebError, match="list"):
                found_in(server, Query(since="20260101"))

    def test_an_endless_list_ends(self):
        def endless(handler):
            handler.send(b"[", Content_Length=None, Connection="close")
            with suppress(OSError):
                for _ in range(10_000):
                    handler.wfile.write(b" " * 2**16)

        limits = Limits(read_s=2, retries=0, most_json=2**20)
        with faulty() as faults, talking(faults, limits=limits) as server:
            faults.answers["/studies?"] = endless
            with pytest.raises(DicomwebError, match="more than 1,048,576 bytes"):
                found_in(server, Query(since="20260101"))

    def test_the_stamp_is_of_the_servers_entry(self, instances):
        with faulty(instances) as faults, talking(faults) as server:
            before = [item.source.stamp() for item in found_in(server)]
            assert [item.source.stamp() for item in found_in(server)] == before
            assert faults.count("/instances/") == 0  # nothing was fetched for it
            changed = entry(_00080018="1.5") | entry(_00280008="30")
            faults.answers["offset=0"] = lambda handler: (
                handler.send(f"[{changed}]".replace("'", '"').encode())
                if "/instances" in handler.path
                else handler.send(f"[{entry(_0020000E=SERIES)}]".replace("'", '"').encode())
            )
            assert found_in(server)[0].source.stamp() != before[0]


class TestFetching:
    def test_bytes_are_the_servers(self, instances):
        with faulty(instances) as faults, talking(faults) as server:
            assert [fetched(item) for item in found_in(server)] == list(instances.values())
            assert not list(server.folder.iterdir())

    def test_the_files_are_gone_afterwards(self, instances):
        with faulty(instances) as faults:
            with talking(faults) as server:
                for item in found_in(server):
                    item.fetch()
                assert len(list(server.folder.iterdir())) == 3
            assert not server.folder.exists()

    def test_one_part_alone_is_taken_too(self, instances):
        with faulty(instances) as faults, talking(faults) as server:
            faults.answers["/1.5"] = lambda handler: handler.send(
                instances["1.5"], "application/dicom"
            )
            assert fetched(found_in(server)[0]) == instances["1.5"]

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_busy_server_is_asked_again(self, instances, status):
        with faulty(instances) as faults, talking(faults) as server:
            tries = []

            def busy(handler):
                tries.append(time.monotonic())
                if len(tries) < 3:
                    handler.send(b"", status=status, Retry_After="7200")
                else:
                    kind = f"multipart/related; boundary={BOUNDARY}"
                    handler.send(multipart(instances["1.5"]), kind)

            faults.answers["/instances/1.5"] = busy
            assert fetched(found_in(server)[0]) == instances["1.5"]
            assert len(tries) == 3

    @pytest.mark.parametrize(
        ("status", "word"),
        [
            (401, "ENDOMETER_DICOMWEB_TOKEN"),
            (403, "403"),
            (404, "404"),
            (429, "busy"),
            (500, "500"),
        ],
    )
    def test_what_stays_wrong_is_told(self, instances, status, word):
        with faulty(instances) as faults:
            faults.answers["/instances/"] = lambda handler: handler.send(b"", status=status)
            assert word in failure(faults)

    def test_a_part_that_is_cut_off_is_tried_again_and_told(self, instances):
        with faulty(instances) as faults:
            faults.answers["/instances/"] = lambda handler: handler.send(
                multipart(instances["1.5"][:900], end=False),
                f"multipart/related; boundary={BOUNDARY}",
            )
            assert "ended before the part did" in failure(faults)
            assert faults.count("/instances/") == ATTEMPTS

    def test_a_connection_that_breaks_off(self, instances):
        with faulty(instances) as faults:
            faults.answers["/instances/"] = lambda handler: handler.send(
                b"--", f"multipart/related; boundary={BOUNDARY}", Content_Length=10**6
            )
            assert "did not come" in failure(faults)

    def test_an_endless_body_ends_at_the_limit(self, instances):
        def endless(handler):
            kind = f"multipart/related; boundary={BOUNDARY}"
            handler.send(multipart(b"", end=False), kind, Content_Length=None, Connection="close")
            with suppress(OSError):
                for _ in range(10_000):
                    handler.wfile.write(b"\0" * 2**16)

        with faulty(instances) as faults:
            faults.answers["/instances/"] = endless
            limits = Limits(read_s=2, retries=0, most_instance=2**20)
            assert "more than 1,048,576 bytes" in failure(faults, limits)

    @pytest.mark.parametrize("how", ["length", "chunked", "close"])
    def test_a_body_that_drips_is_given_up(self, instances, how):
        def dripping(handler):
            kind = f"multipart/related; boundary={BOUNDARY}"
            head = multipart(b"", end=False)
            chunked = {"Transfer_Encoding": "chunked"} if how == "chunked" else {}
            length = {"Content_Length": None if how != "length" else 10**6}
            handler.send(b"", kind, **chunked, **length, Connection="close")
            with suppress(OSError):
                for at in range(200):
                    piece = head[at : at + 1] or b"x"
                    handler.wfile.write(b"1\r\n%s\r\n" % piece if chunked else piece)
                    time.sleep(0.05)

        with faulty(instances) as faults:
            faults.answers["/instances/"] = dripping
            limits = Limits(read_s=2, retries=0, slow_after_s=0.3, slowest=1e9)
            assert "too slowly" in failure(faults, limits)

    def test_ten_gigabytes_are_not_even_begun(self, instances):
        with faulty(instances) as faults:
            faults.answers["/instances/"] = lambda handler: handler.send(
                b"", f"multipart/related; boundary={BOUNDARY}", Content_Length=10**10
            )
            assert "10,000,000,000 bytes" in failure(faults)

    @pytest.mark.parametrize("kind", ["text/html", "image/jpeg", "multipart/related", None])
    def test_another_type_is_not_taken(self, instances, kind):
        with faulty(instances) as faults:
            faults.answers["/instances/"] = lambda handler: handler.send(b"<html>", kind)
            assert "came damaged" in failure(faults)

    def test_another_instance_than_the_one_asked_for_is_refused(self, instances):
        """The number of one woman must never go to another."""
        with faulty(instances) as faults:
            faults.answers["/instances/"] = lambda handler: handler.send(
                multipart(instances["1.7"]), f"multipart/related; boundary={BOUNDARY}"
            )
            assert "sent another instance" in failure(faults)

    def test_no_server_there(self, instances):
        with faulty(instances) as faults:
            pass
        with talking(faults) as server, pytest.raises(DicomwebError, match="did not come"):
            found_in(server, Query(since="20260101"))

    def test_a_full_disk_is_told_with_what_to_do(self, instances, monkeypatch):
        with faulty(instances) as faults:
            monkeypatch.setattr("data.dicomweb.ROOM", 2**62)
            assert "the disk has room for" in failure(faults)


class TestSecrets:
    def test_a_redirect_to_another_host_is_refused_and_shows_nothing(self, instances, caplog):
        caplog.set_level(logging.DEBUG)
        with faulty(instances) as other, faulty(instances) as faults:
            target = other.address.replace("dicomweb+http", "http")
            faults.answers["/instances/"] = lambda handler: handler.send(
                b"", status=302, Location=f"{target}/stolen"
            )
            said = failure(faults, credentials=Credentials(token=SECRET))
            assert "sends us on to http://127.0.0.1" in said
            assert other.asked == []
            assert any(SECRET in headers["Authorization"] for _, headers in faults.asked)
        assert SECRET not in said
        assert SECRET not in caplog.text

    def test_a_redirect_within_the_server_is_followed(self, instances):
        with faulty(instances) as faults, talking(faults, Credentials(token=SECRET)) as server:
            faults.answers["/instances/1.5"] = lambda handler: handler.send(
                b"", status=307, Location="/web/elsewhere/1.6"
            )
            faults.instances["1.6"] = instances["1.5"]
            assert fetched(found_in(server)[0]) == instances["1.5"]
            assert faults.asked[-1][1]["Authorization"] == f"Bearer {SECRET}"

    @pytest.mark.parametrize(
        ("said", "word"),
        [
            ({"ENDOMETER_DICOMWEB_USER": "u"}, "belong together"),
            ({"ENDOMETER_DICOMWEB_PASSWORD": SECRET}, "belong together"),
            (
                {
                    "ENDOMETER_DICOMWEB_USER": "u",
                    "ENDOMETER_DICOMWEB_PASSWORD": SECRET,
                    "ENDOMETER_DICOMWEB_TOKEN": SECRET,
                },
                "one of them",
            ),
            ({"ENDOMETER_DICOMWEB_TOKEN": f"{SECRET}\r\nX: y"}, "control"),
        ],
    )
    def test_half_a_login_is_told_without_it(self, said, word):
        with pytest.raises(CredentialsError, match=word) as error:
            Credentials.of(said)
        assert SECRET not in str(error.value)

    def test_nothing_shows_in_a_repr(self):
        assert SECRET not in repr(Credentials(SECRET, SECRET, SECRET))

    @pytest.mark.parametrize(
        "text",
        [
            f"dicomweb://user:{SECRET}@host/path",
            f"dicomweb:/user:{SECRET}@host/path",
            f"dicomweb://host/path?token={SECRET}",
            "dicomweb://",
            "dicomweb://host:port/path",
            "ftp://host/path",
            "dicomweb+http://pacs.example/path",
            "dicomweb+http://10.0.0.1/path",
            "dicomweb+http://127.0.0.1.example/path",
        ],
    )
    def test_addresses_that_are_refused_are_not_quoted(self, text):
        with pytest.raises(DicomwebError) as error:
            address_of(text)
        assert SECRET not in str(error.value)

    def test_addresses(self):
        assert (
            address_of("dicomweb://pacs.example:8443/web/").url == "https://pacs.example:8443/web"
        )
        assert address_of("dicomweb:/pacs/web").name == "dicomweb://pacs/web"
        assert address_of("dicomweb+http://localhost:8042/a").url == "http://localhost:8042/a"
        assert address_of("dicomweb+http://[::1]/a").url == "http://[::1]/a"
        plain = address_of("dicomweb+http://10.0.0.1/a", plain_http=True)
        assert plain.url == "http://10.0.0.1/a"


class TestMultipart:
    @given(
        content=st.binary(max_size=300) | st.just(b"\r\n--part-of-i" * 9),
        sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    )
    def test_the_part_is_what_was_sent_however_it_is_cut(self, content, sizes):
        whole = multipart(content)
        if content.find(f"\r\n--{BOUNDARY}".encode()) >= 0:
            return
        pieces, at = [], 0
        while at < len(whole):
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(whole[at : at + size])
            at += size
        assert b"".join(first_part(iter(pieces), BOUNDARY.encode())) == content

    @given(cut=st.integers(0, 80))
    def test_cut_anywhere_it_is_an_error(self, cut):
        whole = multipart(b"x" * 20)
        end = whole.rindex(b"--")  # the last boundary is whole without its two dashes
        with pytest.raises(MultipartError):
            list(first_part(iter([whole[: min(cut, end - 1)]]), BOUNDARY.encode()))

    def test_a_preamble_without_end(self):
        with pytest.raises(MultipartError, match="begin with a part"):
            list(first_part(iter([b"x" * 2**16] * 3), b"b"))

    @pytest.mark.parametrize(
        "kind",
        [
            "multipart/related",
            "multipart/related; boundary=",
            "multipart/related; boundary=" + "x" * 201,
        ],
    )
    def test_a_boundary_is_needed(self, kind):
        with pytest.raises(MultipartError):
            boundary_of(kind)


def test_orthanc_gives_what_was_stored(tmp_path):
    paths = [clip(tmp_path, f"1.2.9.{n}", n, Modality="US") for n in range(3)]
    with orthanc(tmp_path / "server", user=("ward", SECRET)) as pacs:
        for path in paths:
            pacs.store(path)
        address = address_of(f"dicomweb+http://{pacs.dicomweb}")
        login = Credentials(user="ward", password=SECRET)
        with connected(address, login) as server:
            items = found_in(server, Query(since="20200101"))
            assert len(items) == 3
            for item in items:
                uid = item.source.name.rpartition("/")[2]
                item.fetch()
                came, sent = dcmread(item.source.path), dcmread(tmp_path / f"{uid}.dcm")
                assert came.PixelData == sent.PixelData
                assert fingerprint(item.source).key
                with Clip.open(item.source) as opened:
                    assert opened.frame(1).luma.shape == (48, 64)
        for wrong in (Credentials(), Credentials(user="ward", password="no"), Credentials("no")):
            with connected(address, wrong) as server, pytest.raises(DicomwebError, match="401"):
                found_in(server, Query(since="20200101"))
