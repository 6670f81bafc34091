"""Zips and DICOMDIRs: what they hold is found, and their faults are rows."""

import shutil
import zipfile

import dicom_factory as make
import pytest
from dicom_factory import header, speckle
from pydicom import dcmread
from pydicom.fileset import FileSet

from data import containers
from data.discover import Found, Searched, Skipped, discover
from imaging.clip import Clip
from imaging.source import Source

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
DICOM = bytes(128) + b"DICM"


def packed(path, *names, data=DICOM):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return path


def of(kind, *sources, **options):
    return [item.source for item in discover(sources, **options) if isinstance(item, kind)]


def medium(folder, clips=3):
    """A file-set as on a compact disc: DICOMDIR, and files without suffix in folders."""
    files = FileSet()
    for number in range(clips):
        elements = {"StudyID": "1", "SeriesNumber": 1, "InstanceNumber": number + 1}
        uids = {"SOPInstanceUID": f"1.2.3.{number}", "SeriesInstanceUID": "1.2.4"}
        data = header(48, 64, PatientID="P", **elements, **uids)
        files.add(dcmread(make.write(folder.parent / "clip", data, speckle().tobytes())))
    files.write(folder)
    return folder / "DICOMDIR"


class TestZip:
    @pytest.mark.parametrize("named", [True, False])
    def test_members_are_found_in_order_of_name(self, tmp_path, named):
        archive = packed(tmp_path / "x/a.ZIP", "b/ä/2.dcm", "b/1.PNG", "IM_0001", "../up", "/root")
        source = archive if named else tmp_path
        *items, searched = discover([source])
        names = ["../up", "/root", "IM_0001", "b/1.PNG", "b/ä/2.dcm"]
        assert items == [Found(Source(archive, name)) for name in names]
        assert searched == Searched(source, 5)

    def test_what_is_no_image_is_skipped(self, tmp_path):
        names = [
            "a.dcm",
            ".b.dcm",
            "__MACOSX/._a.dcm",
            "x/.y/c.dcm",
            "d\\.e.dcm",
            "DICOMDIR",
            "./f",
        ]
        archive = packed(tmp_path / "a.zip", *names, "folder/")
        with zipfile.ZipFile(archive, "a") as more:
            more.writestr("notes.txt", "no image")
            more.writestr("notes", "no image")
            link = zipfile.ZipInfo("link.dcm")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            more.writestr(link, "/etc/passwd")
        assert of(Found, archive) == [Source(archive, "./f"), Source(archive, "a.dcm")]
        skipped = {source.member for source in of(Skipped, archive)}
        assert skipped == {*names[1:6], "notes.txt", "notes", "link.dcm"}

    def test_an_archive_in_an_archive_is_not_entered(self, tmp_path):
        archive = packed(tmp_path / "a.zip", "b.zip", "c.tar.gz")
        assert list(discover([archive])) == [
            Skipped(Source(archive, "b.zip"), archive=True),
            Skipped(Source(archive, "c.tar.gz"), archive=True),
            Searched(archive, 0),
        ]

    @pytest.mark.parametrize("named", [True, False])
    @pytest.mark.parametrize("data", [b"", b"PK\3\4 no more", DICOM])
    def test_a_damaged_archive_is_a_row_and_the_rest_goes_on(self, tmp_path, named, data):
        (tmp_path / "a.zip").write_bytes(data)
        other = packed(tmp_path / "b.zip", "1.dcm")
        first, second = [
            i for i in discover([tmp_path / "a.zip", other] if named else [tmp_path])
            if isinstance(i, Found)
        ]  # fmt: skip
        assert first.source == Source(tmp_path / "a.zip") and "damaged" in first.problem
        assert second == Found(Source(other, "1.dcm"))

    def test_encrypted_members_are_one_row(self, tmp_path):
        archive = packed(tmp_path / "a.zip", "1.dcm", "2.dcm", "3.dcm")
        data = bytearray(archive.read_bytes())
        at = -1
        for _ in range(2):
            at = data.index(b"PK\1\2", at + 1)
            data[at + 8] |= 1
        archive.write_bytes(data)
        one, two, searched = discover([archive])
        assert one == Found(Source(archive, "3.dcm")) and searched.files == 2
        assert two.source == Source(archive) and "2 of the 3 files" in two.problem

    def test_a_member_that_cannot_be_looked_at_is_left_to_the_reader(self, tmp_path):
        archive = packed(tmp_path / "a.zip", "IM_1")
        data = bytearray(archive.read_bytes())
        data[:4] = b"XXXX"
        archive.write_bytes(data)
        assert of(Found, archive) == [Source(archive, "IM_1")]

    def test_a_member_can_be_named(self, tmp_path):
        archive = packed(tmp_path / "a.zip", "x/1.dcm", "x/2.dcm")
        (item,) = discover([archive / "x/2.dcm"])
        assert item == Found(Source(archive, "x/2.dcm"), named=True)
        (item,) = discover([tmp_path / "absent.zip/x/2.dcm"])
        assert "cannot be read" in item.problem

    def test_no_member_comes_twice(self, tmp_path):
        archive = packed(tmp_path / "a/a.zip", "1.dcm")
        (tmp_path / "b").mkdir()
        (tmp_path / "b/link.zip").symlink_to(archive)
        for sources in ([archive, archive], [tmp_path, archive], [archive, tmp_path]):
            assert of(Found, *sources) == [Source(archive, "1.dcm")]
        assert list(discover([archive, archive]))[-1] == Searched(archive, 1)
        assert of(Found, tmp_path / "b") == [Source(tmp_path / "b/link.zip", "1.dcm")]

    def test_a_folder_may_be_called_so(self, tmp_path):
        (tmp_path / "a.zip").mkdir()
        (tmp_path / "a.zip/1.dcm").touch()
        assert of(Found, tmp_path) == [Source(tmp_path / "a.zip/1.dcm")]


class TestDicomdir:
    def test_named_it_yields_what_it_lists(self, tmp_path):
        path = medium(tmp_path / "disc")
        (tmp_path / "disc/PT000000/other.dcm").touch()
        *items, searched = discover([path])
        assert len(items) == 3 and searched == Searched(path, 3)
        assert all(item.problem is None and not item.named for item in items)
        uids = []
        for item in items:
            with Clip.open(item.source) as clip:
                uids.append(clip.identity.sop_instance_uid)
        assert uids == ["1.2.3.0", "1.2.3.1", "1.2.3.2"]

    def test_in_a_folder_it_is_skipped(self, tmp_path):
        path = medium(tmp_path / "disc")
        assert of(Skipped, tmp_path / "disc") == [Source(path)]
        files = set(of(Found, tmp_path / "disc"))
        assert len(files) == 3 and set(of(Found, path)) == files
        for sources in ([path, path.parent], [path.parent, path], [path, path]):
            assert len(of(Found, *sources)) == 3

    def test_a_missing_file_is_a_row(self, tmp_path):
        path = medium(tmp_path / "disc")
        lost = of(Found, path)[1].path
        lost.unlink()
        items = list(discover([path]))
        assert [bool(i.problem) for i in items[:3]] == [False, True, False]
        assert items[1].source == Source(lost) and "not there" in items[1].problem

    def test_a_disc_shown_in_lower_case(self, tmp_path):
        path = medium(tmp_path / "disc", clips=1)
        upper = of(Found, path)[0].path
        lower = tmp_path / "disc" / str(upper.relative_to(path.parent)).lower()
        lower.parent.mkdir(parents=True)
        shutil.move(upper, lower)
        assert list(discover([path])) == [Found(Source(lower)), Searched(path, 1)]

    @pytest.mark.parametrize("file_id", [["..", "SECRET"], ["/etc/passwd"], ["A", "", "B"], "."])
    def test_it_leads_nowhere_else(self, tmp_path, file_id):
        path = medium(tmp_path / "disc")
        data = dcmread(path)
        record = next(r for r in data.DirectoryRecordSequence if "ReferencedFileID" in r)
        record.ReferencedFileID = file_id
        data.save_as(path)
        (tmp_path / "SECRET").write_bytes(DICOM)
        *items, problem, _ = discover([path])
        assert len(items) == 2 and problem.source == Source(path)
        assert "1 files outside" in problem.problem

    def test_what_is_out_of_use_is_not_listed(self, tmp_path):
        path = medium(tmp_path / "disc")
        data = dcmread(path)
        for record in data.DirectoryRecordSequence[-2:]:
            record.RecordInUseFlag = 0
        data.save_as(path)
        assert len(of(Found, path)) == 1

    def test_a_damaged_one_is_a_row(self, tmp_path, monkeypatch):
        path = tmp_path / "DICOMDIR"
        for data in (b"", b"text" * 99, DICOM, DICOM + b"\4\0\x20\x12SQ\0\0\xff\xff\xff\xff" * 9):
            path.write_bytes(data)
            item, searched = discover([path])
            assert "Name the folder" in item.problem and searched == Searched(path, 1)
        monkeypatch.setattr(containers, "MAX_DICOMDIR", 9)
        assert "more than 9" in next(iter(discover([path]))).problem
