"""A clip inside a zip is the clip itself; an archive made to harm does none."""

import hashlib
import multiprocessing
import os
import struct
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, FileIO
from pathlib import Path

import dicom_factory as make
import pytest
from dicom_factory import speckle
from PIL import Image

from imaging import source as module
from imaging import zip_archive
from imaging.clip import Clip, ClipError, sha256
from imaging.source import Source, Stamp, as_source
from imaging.zip_archive import members


def packed(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def patched(path: Path, offset: int, value: bytes) -> Path:
    """Overwrite bytes of the one entry in the archive's directory."""
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + offset
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


def refusal(source: Source) -> str:
    with pytest.raises(ClipError) as caught:
        source.open()
    with pytest.raises(ClipError) as again:
        source.sha256()
    assert str(again.value) == str(caught.value)
    return str(caught.value)


class TestMembers:
    @pytest.mark.parametrize("in_memory", [2**25, 0])
    def test_a_clip_in_a_zip_is_the_clip(self, tmp_path, monkeypatch, in_memory):
        monkeypatch.setattr(module, "MAX_IN_MEMORY", in_memory)
        path = make.jpeg_cine(tmp_path / "a.dcm", 3)
        source = Source(packed(tmp_path / "b.zip", **{"x/ä.dcm": path.read_bytes()}), "x/ä.dcm")
        assert str(source) == source.name == f"{tmp_path.as_posix()}/b.zip/x/ä.dcm"
        assert sha256(source) == sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
        with Clip.open(source) as inside, Clip.open(path) as outside:
            assert inside.identity == outside.identity
            for one, other in zip(inside, outside, strict=True):
                assert (one.luma == other.luma).all()
        assert inside._file.closed

    def test_images_are_read_too(self, tmp_path):
        file = BytesIO()
        Image.fromarray(speckle()).save(file, "PNG")
        with Clip.open(Source(packed(tmp_path / "b.zip", a=file.getvalue()), "a")) as clip:
            assert (clip.frame(1).luma == speckle()).all()

    def test_the_name_leads_back(self, tmp_path):
        archive = packed(tmp_path / "b.ZIP", **{"x/a.dcm": b"data"})
        source = Source(archive, "x/a.dcm")
        assert Source.at(source.name) == source
        assert Source.at(archive) == as_source(archive) == Source(archive)
        assert Source.at("a\0b") == Source(Path("a\0b"))
        (tmp_path / "folder.zip").mkdir()
        assert Source.at(tmp_path / "folder.zip/a").member is None

    def test_stamps(self, tmp_path):
        archive = packed(tmp_path / "b.zip", a=b"12345")
        os.utime(archive, ns=(5, 7_000_000_000))
        assert Source(archive, "a").stamp() == Stamp(5, 7_000_000_000)
        assert Source(archive).stamp() == Stamp(archive.stat().st_size, 7_000_000_000)
        with pytest.raises(ClipError, match="No such file"):
            Source(tmp_path / "absent").stamp()

    def test_a_changed_archive_is_read_anew(self, tmp_path):
        source = Source(packed(tmp_path / "b.zip", a=b"old"), "a")
        assert source.open().read() == b"old"
        packed(tmp_path / "b.zip", a=b"newer")
        assert source.open().read() == b"newer"

    def test_threads_and_forks_share_an_archive(self, tmp_path):
        """Each would read from another's place if they shared the position of the file."""
        data = {f"{i}": os.urandom(50_000) for i in range(20)}
        archive = packed(tmp_path / "b.zip", **data)
        wanted = [hashlib.sha256(value).hexdigest() for value in data.values()]
        sources = [Source(archive, name) for name in data]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(sha256, sources)) == wanted
        with multiprocessing.get_context("fork").Pool(2) as processes:
            assert processes.map(sha256, sources, chunksize=1) == wanted

    def test_a_fork_opens_it_anew(self, tmp_path, monkeypatch):
        archive = packed(tmp_path / "b.zip", a=b"x")
        before = zip_archive._open(archive)
        assert zip_archive._open(archive) is before
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert zip_archive._open(archive) is not before

    @pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.filterwarnings("error::ResourceWarning")
    def test_an_archive_is_closed_when_others_took_its_place(self, tmp_path):
        zip_archive._opened.cache_clear()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(10):
            Source(packed(tmp_path / f"{number}.zip", a=b"x"), "a").open()
        assert len(list(Path("/proc/self/fd").iterdir())) - before <= 2


class TestHarm:
    def test_names_are_only_names(self, tmp_path):
        folder = tmp_path / "deep"
        folder.mkdir()
        (tmp_path / "a").write_bytes(b"outside")
        for name in ("../a", f"{tmp_path}/a", "..\\a"):
            archive = packed(folder / "b.zip", **{name: b"inside"})
            with Source(archive, name).open() as file:
                assert file.read() == b"inside"
        assert (tmp_path / "a").read_bytes() == b"outside" and len(list(folder.iterdir())) == 1

    def test_a_bomb_is_not_expanded(self, tmp_path, monkeypatch):
        archive = packed(tmp_path / "b.zip", a=bytes(2**20))
        monkeypatch.setattr(zip_archive, "RATIO_FROM", 2**18)
        assert "expands from" in refusal(Source(archive, "a"))

    def test_a_member_too_large_is_not_expanded(self, tmp_path, monkeypatch):
        monkeypatch.setattr(zip_archive, "MAX_MEMBER", 99)
        archive = packed(tmp_path / "b.zip", a=os.urandom(100), b=os.urandom(99))
        assert "expands from" in refusal(Source(archive, "a"))
        assert len(Source(archive, "b").open().read()) == 99

    def test_overlapping_members_are_a_trick(self, tmp_path):
        archive = patched(packed(tmp_path / "b.zip", a=b"x"), 24, struct.pack("<L", 2**30))
        assert "made to harm" in refusal(Source(archive, "a"))

    @pytest.mark.parametrize("said", [b"\1\0\0\0", b"\xff\0\0\0"])
    def test_a_size_that_is_a_lie_is_seen(self, tmp_path, said):
        archive = patched(packed(tmp_path / "b.zip", a=os.urandom(100)), 24, said)
        assert "damaged" in refusal(Source(archive, "a"))

    def test_a_directory_too_large_is_not_read(self, tmp_path, monkeypatch):
        archive = packed(tmp_path / "b.zip", **{str(i): b"" for i in range(200)})
        monkeypatch.setattr(zip_archive, "MAX_DIRECTORY", 9000)
        assert "directory has more" in refusal(Source(archive, "1"))

    def test_too_many_members(self, tmp_path, monkeypatch):
        archive = packed(tmp_path / "b.zip", **{str(i): b"" for i in range(9)})
        monkeypatch.setattr(zip_archive, "MAX_MEMBERS", 8)
        assert "9 members" in refusal(Source(archive, "1"))

    def test_an_encrypted_member_asks_to_be_unpacked(self, tmp_path):
        archive = patched(packed(tmp_path / "b.zip", a=b"x" * 99), 8, b"\1\0")
        assert "encrypted" in refusal(Source(archive, "a"))

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_only_deflate(self, tmp_path, method):
        with zipfile.ZipFile(tmp_path / "b.zip", "w", method) as archive:
            archive.writestr("a", b"x" * 99)
        assert f"method {method}" in refusal(Source(tmp_path / "b.zip", "a"))

    def test_what_is_missing_is_told(self, tmp_path):
        archive = packed(tmp_path / "b.zip", a=b"x")
        assert "no member" in refusal(Source(archive, "b"))
        assert "No such file" in refusal(Source(tmp_path / "absent.zip", "b"))
        assert "damaged" in refusal(Source(make.jpeg_cine(tmp_path / "c.zip", 1), "b"))

    def test_damage_anywhere_gives_the_right_bytes_or_an_error(self, tmp_path):
        content = os.urandom(40) * 3
        whole = packed(tmp_path / "b.zip", **{"SECRET": content}).read_bytes()
        for position in range(len(whole)):
            damaged = bytearray(whole)
            damaged[position] ^= 0xFF
            (tmp_path / "c.zip").write_bytes(damaged)
            try:
                zip_archive._opened.cache_clear()  # the time of change may be the same
                assert Source(tmp_path / "c.zip", "SECRET").open().read() == content
            except ClipError as error:
                assert "SECRET" not in str(error)

    def test_a_full_disk_says_where_to_make_room(self, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "MAX_IN_MEMORY", 0)
        archive = packed(tmp_path / "b.zip", a=b"x")

        def full(**_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tempfile, "TemporaryFile", full)
        with pytest.raises(ClipError, match=r"No space left.*TMPDIR"):
            Source(archive, "a").open()
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: FileIO("/dev/full", "w"))
        with pytest.raises(ClipError, match=r"No space left.*TMPDIR"):
            Source(archive, "a").open()


def test_a_member_without_a_name_is_none(tmp_path):
    """zipfile itself raises for it (found by fuzzing)."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("b.dcm", b"x")
    # zipfile ends a name at its first zero
    path.write_bytes(path.read_bytes().replace(b"b.dcm", b"\0.dcm"))
    assert members(path) == []
