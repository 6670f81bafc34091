"""A check finds what was put wrong, names the file and the remedy, and quotes nobody."""

import io
import json
import shutil

import numpy as np
import pytest
from annotated import annotated
from drawings import dicom
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.cases import CasesError
from data.phantom.collection import write_phantoms
from training.datasets.check import check, parts_of
from training.datasets.look import Level
from training.datasets.sheet import TILE_PX, contact_sheet
from training.datasets.twins import together

pytest.importorskip("imagehash")


def found(*folders):
    return {(f.kind, str(f.level)) for f in check(folders).findings}


def edit(folder, number, **changes):
    content = json.loads((folder / "dataset.json").read_text())
    item = content["items"][number]
    for key, value in changes.items():
        item.pop(key, None) if value is None else item.update({key: value})
    (folder / "dataset.json").write_text(json.dumps(content))


def relabel(folder, number, change):
    path = folder / f"{number}-label.png"
    values = np.array(Image.open(path))
    change(values)
    Image.fromarray(values).save(path)


def test_a_sound_set_has_no_findings_but_its_empty_label(tmp_path):
    done = check([annotated(tmp_path / "a")])
    assert [(f.kind, f.level, f.file) for f in done.findings] == [
        ("empty", Level.WARNING, str(tmp_path / "a/5.png"))
    ]
    assert done.errors == 0
    assert (done.all.items, done.all.patients, done.all.empty, done.all.unmeasured) == (6, 6, 1, 0)
    # bands of twice 4 to 9 pixels of 0.4 mm
    assert 3.0 < done.all.smallest_mm < done.all.median_mm < done.all.largest_mm < 7.5
    assert sum(done.all.bins) == 5


def cut_label(folder):
    Image.fromarray(np.zeros((149, 160), np.uint8)).save(folder / "1-label.png")


def second_piece(folder):
    relabel(folder, 1, lambda values: values.__setitem__(np.s_[5:10, 5:20], 1))


def in_the_margin(folder):
    grey = np.array(Image.open(folder / "1.png"))
    grey[:40] = 0
    Image.fromarray(grey).save(folder / "1.png")
    values = np.zeros(grey.shape, np.uint8)
    values[10:20, 20:120] = 1
    Image.fromarray(values).save(folder / "1-label.png")


def saved_again(folder):
    buffer = io.BytesIO()
    Image.open(folder / "1.png").save(buffer, "JPEG", quality=80)
    Image.open(buffer).save(folder / "2.png")


@pytest.mark.parametrize(
    ("spoil", "kind", "level", "file", "says"),
    [
        (lambda d: (d / "1.png").unlink(), "unreadable", "error", "1.png", "cannot be opened"),
        (lambda d: (d / "1.png").write_bytes(b"x" * 9), "unreadable", "error", "1.png", "no DICOM"),
        (lambda d: (d / "1-label.png").unlink(), "label", "error", "1.png", "no such file"),
        (lambda d: relabel(d, 1, lambda v: v.__setitem__((0, 0), 7)), "label", "error", "1.png",
         "has the values 7"),
        (cut_label, "size", "error", "1.png", "149 x 160 pixels and the image 150 x 160"),
        (second_piece, "pieces", "warning", "1.png", "2 pieces"),
        (in_the_margin, "outside", "error", "1.png", "100% of its label"),
        (lambda d: edit(d, 1, spacing=None), "no scale", "warning", "1.png", "guessed size"),
        (lambda d: edit(d, 1, spacing=[3.0, 3.0]), "spacing", "error", "1.png", "0.01 to 1.0"),
        (lambda d: edit(d, 1, spacing=[-1, 1]), "entry", "error", "1.png", "spacing is -1"),
        (lambda d: edit(d, 1, image="../x.png"), "entry", "error", "", "without '..'"),
        (lambda d: edit(d, 1, frame=2), "label", None, "1.png", ""),
        (lambda d: edit(d, 1, patient=None), "no patient", "warning", "", "of 1 items"),
        (lambda d: shutil.copy(d / "1.png", d / "2.png"), "same image", "error", "1.png",
         "the very same picture as"),
        (saved_again, "alike", "warning", "1.png", "nearly the same picture"),
        (lambda d: edit(d, 1, labels=["endometrium"]) or relabel(
            d, 1, lambda v: v.__setitem__(v == 1, 2)), "labels", "error", "1.png", "has fluid"),
    ],
)  # fmt: skip
def test_what_was_put_wrong_is_found_and_named(tmp_path, spoil, kind, level, file, says):
    folder = annotated(tmp_path / "a")
    spoil(folder)
    done = check([folder])
    if level is None:  # the frame of a still
        assert any(f.kind == "frame" and f.level is Level.ERROR for f in done.findings)
        return
    (finding,) = [f for f in done.findings if f.kind == kind]
    assert finding.level == level
    assert finding.file.endswith(file)
    assert says in finding.message


def test_pictures_of_two_patients_that_are_alike_are_only_told(tmp_path):
    folder = annotated(tmp_path / "a")
    saved_again(folder)
    (finding,) = [f for f in check([folder]).findings if f.kind == "alike"]
    assert "said to be of another patient" in finding.message
    edit(folder, 2, patient=None)
    (finding,) = [f for f in check([folder]).findings if f.kind == "alike"]
    assert "nobody says whose they are" in finding.message
    edit(folder, 2, patient="p1")
    assert "alike" not in {f.kind for f in check([folder]).findings}


def test_two_readers_may_draw_on_one_picture(tmp_path):
    folder = annotated(tmp_path / "a")
    edit(folder, 1, annotator="r1")
    edit(folder, 2, annotator="r2", image="1.png", patient="p1")
    assert ("same image", "warning") in found(folder)


def test_pictures_and_patients_in_two_parts_are_errors(tmp_path):
    one = annotated(tmp_path / "train", patients=list("abcdef"))
    other = annotated(tmp_path / "test", patients=list("fghijk"), seed=9)
    done = check([one, other])
    (finding,) = [f for f in done.findings if f.kind == "patient"]
    assert "patient f is in" in finding.message
    assert set(done.folders) == {str(one), str(other)}
    assert done.all.items == 12
    shutil.copy(one / "2.png", other / "3.png")
    assert ("same image", "error") in found(one, other)
    saved_again(one)  # 1.png as 2.png
    shutil.copy(one / "2.png", other / "3.png")
    (one / "2.png").unlink()
    assert ("alike", "warning") in found(one, other)
    edit(other, 3, patient=None)
    assert ("same image", "error") in found(one, other)


def test_whoever_is_unknown_cannot_be_kept_apart(tmp_path):
    folder = annotated(tmp_path / "a")
    for number in range(6):
        edit(folder, number, patient=None)
    (finding,) = [f for f in check([folder]).findings if f.kind == "no patient"]
    assert "of 6 items nobody knows the patient" in finding.message


def test_identity_in_headers_is_told_by_tag_and_never_by_value(tmp_path):
    folder = annotated(tmp_path / "a")
    dicom(folder / "1.dcm", PatientBirthDate="19800101")
    Image.fromarray(np.pad(np.ones((20, 60), np.uint8), 30)[:96, :128]).save(folder / "1-label.png")
    label = np.zeros((96, 128), np.uint8)
    label[30:50, 20:100] = 1
    Image.fromarray(label).save(folder / "1-label.png")
    edit(folder, 1, image="1.dcm")
    done = check([folder])
    (finding,) = [f for f in done.findings if f.kind == "identity"]
    assert "PatientBirthDate, PatientID, PatientName" in finding.message
    assert "SECRET" not in json.dumps(done.as_json())
    assert "19800101" not in json.dumps(done.as_json())


def test_phantoms_are_checked_as_well_and_their_truth_is_found(tmp_path):
    rows = write_phantoms(tmp_path / "p", n=2, seed=4)
    done = check([tmp_path / "p"])
    assert done.errors == 0
    measured = sorted(look.thickness_mm for look in done.looks)
    true = sorted(float(row["thickness_mm"]) for row in rows)
    assert measured == pytest.approx(true, abs=0.35)


def test_a_phantom_that_shows_nothing_counts_as_empty(tmp_path):
    write_phantoms(tmp_path / "p", n=1, seed=4, empty=1.0)
    done = check([tmp_path / "p"])
    assert (done.all.empty, done.all.unmeasured) == (1, 0)


def test_a_folder_without_a_table_is_no_data_set(tmp_path):
    with pytest.raises(CasesError, match=r"dataset\.json"):
        check([tmp_path])


def test_a_split_stands_for_its_parts(tmp_path):
    for part in ("train", "validation", "test", "fold-1/train", "fold-1/validation"):
        (tmp_path / "s" / part).mkdir(parents=True)
        (tmp_path / "s" / part / "dataset.json").touch()
    home = tmp_path / "s"
    assert parts_of(home) == [home / "fold-1/train", home / "fold-1/validation", home / "test"]
    shutil.rmtree(home / "fold-1")
    assert parts_of(home) == [home / "train", home / "validation", home / "test"]
    assert parts_of(home / "test") == [home / "test"]


def test_the_sheet_shows_every_item_with_its_outline(tmp_path):
    folder = annotated(tmp_path / "a")
    (folder / "2.png").unlink()
    done = check([folder])
    assert contact_sheet(done.looks, tmp_path / "sheet.png") == 6
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    green = (sheet[..., 1] > 180) & (sheet[..., 0] < 140) & (sheet[..., 2] < 180)
    width = sheet.shape[1] // 6
    drawn = [int(green[:TILE_PX, n * width : (n + 1) * width].sum()) for n in range(6)]
    assert [count > 100 for count in drawn] == [True, True, False, True, True, False]


def test_the_sheet_hides_what_may_be_writing_around_the_picture(tmp_path):
    """Without a region only the neighbourhood of the outline is shown."""
    folder = annotated(tmp_path / "a", n=1)
    grey = np.array(Image.open(folder / "0.png"))
    grey[:, -25:] = 255  # as bright as writing, and inside what looks like the picture
    Image.fromarray(grey).save(folder / "0.png")
    label = np.zeros(grey.shape, np.uint8)
    label[60:70, 20:50] = 1
    Image.fromarray(label).save(folder / "0-label.png")
    contact_sheet(check([folder]).looks, tmp_path / "sheet.png")
    tile = np.asarray(Image.open(tmp_path / "sheet.png"))[8 : 8 + TILE_PX, 8 : 8 + TILE_PX]
    assert (tile.min(-1) == 255).mean() < 0.05


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=14),
    st.randoms(use_true_random=False),
)
def test_groups_hold_patients_and_pictures_together(drawn, random):
    from types import SimpleNamespace

    def look(n, patient, picture):
        bits = np.zeros(256, bool)
        bits[picture * 50 : picture * 50 + 50] = True  # 100 bits between any two
        case = SimpleNamespace(patient=f"p{patient}", name=f"i{n}", path=f"i{n}")
        return SimpleNamespace(
            folder="f", case=case, named=patient > 0, pixels=f"{picture}", perceptual=bits
        )

    looks = [look(n, patient, picture) for n, (patient, picture) in enumerate(drawn)]
    groups = together(looks)
    for i, one in enumerate(looks):
        for j, other in enumerate(looks):
            same = one.pixels == other.pixels
            same |= one.named and other.named and one.case.patient == other.case.patient
            if same:
                assert groups[i] == groups[j]
    order = list(range(len(looks)))
    random.shuffle(order)
    again = together([looks[n] for n in order])
    for a, n in enumerate(order):
        for b, m in enumerate(order):
            assert (again[a] == again[b]) == (groups[n] == groups[m])
