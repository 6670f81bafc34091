import inspect
import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_links_to_folders_are_followed(tmp_path):
    one = dicom_like(tmp_path / "elsewhere/deep/one.dcm")
    two = dicom_like(tmp_path / "archive/a/two.dcm")
    (tmp_path / "archive/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "archive/c").symlink_to(tmp_path / "elsewhere/deep")
    (tmp_path / "archive/d").symlink_to(tmp_path / "archive/a")
    assert found(tmp_path / "archive") == [two, tmp_path / "archive/b/deep/one.dcm"]
    (tmp_path / "way").symlink_to(tmp_path / "archive")
    assert len(found(tmp_path / "way")) == 2
    assert sorted(found(tmp_path)) == sorted([one, two])


def test_links_in_a_circle_end(tmp_path):
    one = dicom_like(tmp_path / "a/b/one.dcm")
    outside = dicom_like(tmp_path / "c/two.dcm")
    (tmp_path / "a/b/up").symlink_to("..")
    (tmp_path / "a/b/root").symlink_to("/")
    (tmp_path / "a/self").symlink_to("self")
    (tmp_path / "a/c").symlink_to(tmp_path / "c")
    (tmp_path / "c/back").symlink_to(tmp_path / "a/b")
    (tmp_path / "c/again").symlink_to(tmp_path / "c")
    assert found(tmp_path / "a") == [one, tmp_path / "a/c/two.dcm"]
    assert found(tmp_path / "c") == [outside, tmp_path / "c/back/one.dcm"]


def test_a_link_to_a_folder_around_another_source(tmp_path):
    one, two = dicom_like(tmp_path / "x/in/one.dcm"), dicom_like(tmp_path / "x/two.dcm")
    (tmp_path / "y").mkdir()
    (tmp_path / "y/x").symlink_to(tmp_path / "x")
    for sources in ([tmp_path / "y", one.parent], [one.parent, tmp_path / "y"]):
        assert sorted(found(*sources)) == sorted([one, tmp_path / "y/x/two.dcm"])
    assert found(tmp_path / "y", two.parent, one.parent) == [two, one]


def test_a_file_is_not_found_again_through_the_folder_of_a_link(tmp_path):
    dicom_like(tmp_path / "x/one.dcm")
    (tmp_path / "y").mkdir()
    (tmp_path / "y/1.dcm").symlink_to(tmp_path / "x/one.dcm")
    (tmp_path / "y/2.dcm").symlink_to(tmp_path / "x/one.dcm")
    (tmp_path / "y/x").symlink_to(tmp_path / "x")
    assert found(tmp_path / "y") == [tmp_path / "y/1.dcm"]


def test_links_into_a_hidden_store_are_followed(tmp_path):
    """As git-annex and DVC keep their files."""
    store = dicom_like(tmp_path / ".store/ab12")
    (tmp_path / "scan.dcm").symlink_to(store)
    assert found(tmp_path, leave_out=tmp_path) == [tmp_path / "scan.dcm"]
    assert Skipped(Source(tmp_path / ".store")) in discover([tmp_path])


def test_a_link_may_call_an_image_what_its_own_name_does_not(tmp_path):
    (tmp_path / "blob").write_bytes(b"no mark of DICOM")
    (tmp_path / "scan.dcm").symlink_to("blob")
    assert found(tmp_path) == [tmp_path / "scan.dcm"]


def test_links_into_the_output_lead_nowhere(tmp_path):
    dicom_like(tmp_path / "out/overlays/x.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.png").symlink_to(tmp_path / "out/overlays/x.png")
    (tmp_path / "in/out").symlink_to(tmp_path / "out")
    assert found(tmp_path / "in", leave_out=tmp_path / "out") == []


def test_a_folder_of_links_to_what_another_source_holds_is_not_empty(tmp_path):
    dicom_like(tmp_path / "x/one.dcm")
    (tmp_path / "y").mkdir()
    (tmp_path / "y/x").symlink_to(tmp_path / "x")
    *_, last = discover([tmp_path / "x", tmp_path / "y"])
    assert last == Searched(tmp_path / "y", 0, elsewhere=True)


def test_a_named_file_keeps_its_name_and_turn(tmp_path):
    (tmp_path / "a/notes.txt").parent.mkdir()
    one = dicom_like(tmp_path / "a/one.dcm")
    two = dicom_like(tmp_path / "a/two.dcm")
    items = [i for i in discover([tmp_path / "a", two, two]) if isinstance(i, Found)]
    assert items == [Found(Source(one)), Found(Source(two), named=True)]


def test_hard_links_are_names_of_their_own(tmp_path):
    one = dicom_like(tmp_path / "one.dcm")
    os.link(one, tmp_path / "two.dcm")
    assert found(tmp_path) == [one, tmp_path / "two.dcm"]


def test_the_search_goes_deeper_than_the_stack(tmp_path):
    one = dicom_like(tmp_path.joinpath(*["d"] * 150, "one.dcm"))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert found(tmp_path) == [one]
    finally:
        sys.setrecursionlimit(limit)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_every_file_comes_once_whatever_links_there_are(data):
    """Against a search that keeps all it saw: each real file below a source or a link, once."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(os.path.realpath(name))
        folders = [root / p for p in ("a", "a/b", "a/b/c", "d", "d/e", "f")]
        for number, folder in enumerate(folders):
            folder.mkdir()
            if number % 2 == 0:
                dicom_like(folder / f"{number}.dcm")
        targets = [*folders, *(f / f"{n}.dcm" for n, f in enumerate(folders) if n % 2 == 0)]
        links = st.tuples(st.sampled_from(folders), st.sampled_from(targets))
        for number, (folder, target) in enumerate(data.draw(st.lists(links, max_size=6))):
            (folder / f"l{number}.dcm").symlink_to(target)
        sources = data.draw(st.lists(st.sampled_from(targets), min_size=1, max_size=3))
        real = [os.path.realpath(path) for path in found(*sources)]
        assert len(real) == len(set(real))
        assert set(real) == _reachable(sources)


def _reachable(sources):
    """Real paths of the files below the sources; a link up is not followed."""
    files, folders, pending = set(), set(), [Path(os.path.realpath(s)) for s in sources]
    while pending:
        path = pending.pop()
        if path.is_file():
            files.add(str(path))
        elif path not in folders:
            folders.add(path)
            for entry in path.iterdir():
                real = Path(os.path.realpath(entry))
                if not (entry.is_symlink() and real in (path, *path.parents)):
                    pending.append(real)
    return files
