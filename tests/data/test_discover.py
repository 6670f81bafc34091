import os
from pathlib import Path

import pytest

from data.discover import Found, Searched, Skipped, discover
from imaging.source import Source


def dicom_like(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(128) + b"DICM")
    return path


def found(*sources, **options):
    return [item.source.path for item in discover(sources, **options) if isinstance(item, Found)]


def test_folders_are_searched_to_any_depth_in_order(tmp_path):
    wanted = [
        dicom_like(tmp_path / name) for name in ("b/2/deep/x", "b/1.dcm", "a.DCM", "c/IM_0001")
    ]
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.dcm").write_bytes(b"")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "empty.dcm").touch()
    assert sorted(found(tmp_path)) == sorted([*wanted, tmp_path / "empty.dcm"])
    assert found(tmp_path) == found(tmp_path)
    skipped = {i.source.path.name for i in discover([tmp_path]) if isinstance(i, Skipped)}
    assert skipped == {"notes.txt", ".hidden.dcm", "DICOMDIR"}


def test_what_the_user_names_is_always_tried(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    assert found(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_the_same_file_is_found_once(tmp_path):
    one = dicom_like(tmp_path / "one.dcm")
    (tmp_path / "link.dcm").symlink_to(one)
    assert len(found(tmp_path, one, tmp_path)) == 1


def test_results_inside_the_source_are_left_out(tmp_path):
    dicom_like(tmp_path / "one.dcm")
    dicom_like(tmp_path / "results/overlays/x.png")
    assert found(tmp_path, leave_out=tmp_path / "results") == [tmp_path / "one.dcm"]


def test_a_dicom_data_set_without_preamble_is_tried(tmp_path):
    bare = tmp_path / "IM_0002"
    bare.write_bytes(b"\x08\x00\x05\x00CS" + bytes(300))
    assert found(tmp_path) == [bare]


def test_a_broken_link_does_not_stop_the_search(tmp_path):
    (tmp_path / "a.dcm").symlink_to(tmp_path / "absent")
    one = dicom_like(tmp_path / "b.dcm")
    assert found(tmp_path) == [one]


@pytest.mark.parametrize("named", [False, True])
def test_links_in_a_circle_are_passed_by_or_told(tmp_path, named):
    (tmp_path / "self.dcm").symlink_to("self.dcm")
    one = dicom_like(tmp_path / "b.dcm")
    assert found(tmp_path) == [one]
    if named:
        (item,) = discover([tmp_path / "self.dcm"])
        assert item.named and "symbolic links" in item.problem


def test_a_file_that_cannot_be_looked_at_is_a_problem_of_its_own(tmp_path, monkeypatch):
    """As in a folder that may be listed but not entered; root may enter all, hence the pretence."""
    locked = dicom_like(tmp_path / "locked/a.dcm")
    one = dicom_like(tmp_path / "open/b.dcm")
    real = os.stat

    def stat(path, **options):
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    locked_item, open_item, _ = discover([tmp_path])
    assert locked_item.source.path == locked and "Permission denied" in locked_item.problem
    assert open_item == Found(Source(one))
    (named,) = discover([locked])
    assert "Permission denied" in named.problem


@pytest.mark.parametrize("name", ["x" * 300, "absent.dcm", "nul\0.dcm"])
def test_names_that_cannot_be_are_told_and_not_raised(tmp_path, name):
    (item,) = discover([tmp_path / name])
    assert item.named and "cannot be read" in item.problem


def test_a_pipe_is_never_opened(tmp_path):
    """Opening one without a writer would wait for ever."""
    os.mkfifo(tmp_path / "pipe.dcm")
    os.mkfifo(tmp_path / "pipe")
    one = dicom_like(tmp_path / "b.dcm")
    assert found(tmp_path) == [one]
    (item,) = discover([tmp_path / "pipe.dcm"])
    assert item.named and "pipe" in item.problem


@pytest.mark.parametrize("name", ["a.TAR", "a.tar.gz", "a.7z", "a.rar"])
def test_archives_that_are_not_read_inside_say_so(tmp_path, name):
    dicom_like(tmp_path / name)
    (item,) = discover([tmp_path / name])
    assert item.named and "unpack it" in item.problem
    (skipped, searched) = discover([tmp_path])
    assert skipped == Skipped(Source(tmp_path / name), archive=True)
    assert searched == Searched(tmp_path, 0)


def test_every_named_folder_says_how_much_it_holds(tmp_path):
    one = dicom_like(tmp_path / "one.dcm")
    (tmp_path / "empty").mkdir()
    assert list(discover([tmp_path, tmp_path / "empty", tmp_path])) == [
        Found(Source(one)),
        Searched(tmp_path, 1),
        Searched(tmp_path / "empty", 0),
        Searched(tmp_path, 1),
    ]


def test_overlays_are_left_out_even_if_results_lie_among_the_clips(tmp_path):
    one = dicom_like(tmp_path / "one.dcm")
    dicom_like(tmp_path / "overlays/x.png")
    other = dicom_like(tmp_path / "deep/overlays/x.png")
    assert sorted(found(tmp_path, leave_out=tmp_path)) == sorted([one, other])
    assert found(tmp_path / "overlays", leave_out=tmp_path) == []


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path, monkeypatch):
    locked = tmp_path / "locked"
    dicom_like(locked / "a.dcm")
    one = dicom_like(tmp_path / "open/b.dcm")
    real = os.scandir

    def scandir(path):
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    items = list(discover([tmp_path]))
    assert Found(Source(one)) in items
    problems = [i for i in items if isinstance(i, Found) and i.problem]
    assert [p.source.path for p in problems] == [locked]
    assert "Permission denied" in problems[0].problem


@pytest.mark.parametrize("name", ["x.png", "x.JPG", "x.jpeg", "x.tif", "x.TIFF", "x.ima"])
def test_images_count_by_their_suffix(tmp_path, name):
    (tmp_path / name).touch()
    assert found(tmp_path) == [tmp_path / name]
