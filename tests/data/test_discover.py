import os
from pathlib import Path

import pytest

from data.discover import Found, Skipped, discover


def dicom_like(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(128) + b"DICM")
    return path


def found(*sources, **options):
    return [item.path for item in discover(sources, **options) if isinstance(item, Found)]


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
    skipped = {i.path.name for i in discover([tmp_path]) if isinstance(i, Skipped)}
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
    assert Found(one) in items
    problems = [i for i in items if isinstance(i, Found) and i.problem]
    assert [p.path for p in problems] == [locked]
    assert "Permission denied" in problems[0].problem


@pytest.mark.parametrize("name", ["x.png", "x.JPG", "x.jpeg", "x.tif", "x.TIFF", "x.ima"])
def test_images_count_by_their_suffix(tmp_path, name):
    (tmp_path / name).touch()
    assert found(tmp_path) == [tmp_path / name]
