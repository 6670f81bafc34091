import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from data.cases import CasesError, read_cases
from data.nnunet import read_placed, read_splits, write_nnunet
from data.phantom.collection import write_phantoms
from imaging.clip import Clip

SHAPE = (60, 80)


def dataset(folder, patients, *, fluid=False, **fields):
    """Write an image for every patient (None: unnamed) with a label; returns the folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(patients))
    items = []
    for number, patient in enumerate(patients):
        grey = rng.integers(0, 255, SHAPE).astype(np.uint8)
        label = np.zeros(SHAPE, np.uint8)
        label[20:30, 10:40] = 1
        if fluid:
            label[24:26, 20:30] = 2
        Image.fromarray(grey).save(folder / f"smith-{number}.png")
        Image.fromarray(label).save(folder / f"{number}-label.png")
        item = {"image": f"smith-{number}.png", "label": f"{number}-label.png"} | fields
        items.append(item | ({"patient": patient} if patient else {}))
    (folder / "dataset.json").write_text(json.dumps({"items": items}))
    return folder


@pytest.fixture
def split(tmp_path):
    dataset(tmp_path / "split" / "train", ["a", "a", "b", "c"], fluid=True)
    dataset(tmp_path / "split" / "validation", ["d", "e"])
    dataset(tmp_path / "split" / "test", ["f", "g", "g"])
    return tmp_path / "split"


def test_the_layout_is_nnu_nets(split, tmp_path):
    made = write_nnunet(split, tmp_path / "raw", number=7, name="Uterus")
    assert made.folder == tmp_path / "raw" / "Dataset007_Uterus"
    for part, n in (("Tr", 6), ("Ts", 3)):
        images = sorted(path.name for path in (made.folder / f"images{part}").iterdir())
        labels = sorted(path.name for path in (made.folder / f"labels{part}").iterdir())
        assert len(images) == n
        assert images == [name.replace(".png", "_0000.png") for name in labels]
    about = json.loads((made.folder / "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "endometrium": 1, "fluid": 2}
    assert about["numTraining"] == 6 and about["file_ending"] == ".png"
    assert list(about["channel_names"]) == ["0"]
    assert not list(tmp_path.rglob("*.part"))


def test_pixels_and_labels_are_those_of_the_pipeline(split, tmp_path):
    made = write_nnunet(split, tmp_path / "raw")
    cases = {("train", c.name): c for c in read_cases(split / "train")}
    row = next(row for row in made.cases if row.split == "train")
    case = cases["train", row.image]
    picture = np.asarray(Image.open(made.folder / "imagesTr" / f"{row.case}_0000.png"))
    label = np.asarray(Image.open(made.folder / "labelsTr" / f"{row.case}.png"))
    with Clip.open(case.path) as clip:
        assert (picture == clip.frame(1).luma).all()
    assert (label == case.mask()).all() and set(np.unique(label)) == {0, 1, 2}


def test_the_split_is_ours_and_parts_no_patient(split, tmp_path):
    made = write_nnunet(split, tmp_path / "raw")
    (fold,) = json.loads((made.folder / "splits_final.json").read_text())
    side = {row.case: row.split for row in made.cases}
    assert [side[case] for case in fold["train"]] == ["train"] * 4
    assert [side[case] for case in fold["val"]] == ["validation"] * 2


def test_one_data_set_is_folded_by_patient(tmp_path):
    patients = [name for name in "abcdefg" for _ in range(3)]
    made = write_nnunet(dataset(tmp_path / "one", patients), tmp_path / "raw")
    folds = json.loads((made.folder / "splits_final.json").read_text())
    of = dict(zip((row.case for row in made.cases), patients, strict=True))
    assert len(folds) == 5
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(of)
    for fold in folds:
        assert not {of[case] for case in fold["train"]} & {of[case] for case in fold["val"]}


def test_names_of_files_and_patients_stay_in_the_table(split, tmp_path):
    made = write_nnunet(split, tmp_path / "raw")
    for path in made.folder.rglob("*"):
        assert "smith" not in path.name
        if path.suffix == ".json":
            assert "smith" not in path.read_text()
    assert read_placed(made.folder) == list(made.cases)
    assert {row.image for row in made.cases} >= {"smith-0.png", "smith-3.png"}


def test_a_dicom_clip_is_cut_to_its_region_and_keeps_its_scale(tmp_path):
    write_phantoms(tmp_path / "phantoms", n=2, seed=5)
    made = write_nnunet(tmp_path / "phantoms", tmp_path / "raw", ending=".nii.gz")
    case, row = read_cases(tmp_path / "phantoms")[0], made.cases[0]
    image = sitk.ReadImage(str(made.folder / "imagesTr" / f"{row.case}_0000.nii.gz"))
    label = sitk.GetArrayFromImage(
        sitk.ReadImage(str(made.folder / "labelsTr" / f"{row.case}.nii.gz"))
    )
    assert image.GetSpacing() == pytest.approx((row.column_mm, row.row_mm))
    assert row.row_mm is not None and row.row_mm < 1
    with Clip.open(case.path) as clip:
        luma = clip.frame(1).luma
    window = np.s_[row.row_0 : row.row_0 + row.rows, row.column_0 : row.column_0 + row.columns]
    assert luma[window].size < luma.size
    assert (sitk.GetArrayFromImage(image) == luma[window]).all()
    assert (label == case.mask()[window]).all() and label.any()


def test_a_label_that_one_case_does_not_tell_apart_is_background_in_all(tmp_path):
    dataset(tmp_path / "s" / "train", ["a", "b"], fluid=True)
    dataset(tmp_path / "s" / "test", ["c"], labels=["endometrium"])
    made = write_nnunet(tmp_path / "s", tmp_path / "raw")
    assert made.labels == ("endometrium",)
    label = np.asarray(Image.open(made.folder / "labelsTr" / "case_0001.png"))
    assert set(np.unique(label)) == {0, 1}


def test_phantoms_without_a_label_image_are_left_out_and_counted(tmp_path):
    write_phantoms(tmp_path / "phantoms", n=3, seed=5)
    table = tmp_path / "phantoms" / "truth.csv"
    lines = table.read_text().splitlines()
    lines[1] = ",".join([*lines[1].split(",")[:-1], ""])
    table.write_text("\n".join(lines) + "\n")
    made = write_nnunet(tmp_path / "phantoms", tmp_path / "raw")
    assert len(made.cases) == 2 and made.left_out == ("phantom-0001.dcm",)


def test_a_patient_on_two_sides_is_refused(tmp_path):
    dataset(tmp_path / "s" / "train", ["a", "b"])
    dataset(tmp_path / "s" / "test", ["b"])
    with pytest.raises(CasesError, match="1 patients are in train and in test"):
        read_splits(tmp_path / "s")


def test_unnamed_patients_may_have_the_same_file_name_on_both_sides(tmp_path):
    dataset(tmp_path / "s" / "train", [None, None])
    dataset(tmp_path / "s" / "test", [None])
    assert len(read_splits(tmp_path / "s")["test"]) == 1


def test_all_faults_are_told_and_nothing_is_left_behind(split, tmp_path):
    for name in ("train", "test"):
        (split / name / "smith-1.png").write_bytes(b"broken")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(split / "train" / "smith-2.png")
    with pytest.raises(CasesError) as error:
        write_nnunet(split, tmp_path / "raw")
    assert str(error.value).count("smith-") == 3
    assert "A label is drawn on this very image" in str(error.value)
    assert not list((tmp_path / "raw").iterdir())


def test_a_data_set_that_is_there_is_not_written_over(split, tmp_path):
    write_nnunet(split, tmp_path / "raw")
    with pytest.raises(CasesError, match="there already"):
        write_nnunet(split, tmp_path / "raw")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"number": 0}, "1 to 999"),
        ({"number": 1000}, "1 to 999"),
        ({"name": "../x"}, "letters and digits"),
        ({"name": ""}, "letters and digits"),
        ({"ending": ".tif"}, ".png or .nii.gz"),
    ],
)
def test_what_nnu_net_does_not_take_is_refused(split, tmp_path, options, says):
    with pytest.raises(ValueError, match=says):
        write_nnunet(split, tmp_path / "raw", **options)


def test_a_folder_without_data_is_explained(tmp_path):
    with pytest.raises(CasesError, match="has no folder train"):
        write_nnunet(tmp_path, tmp_path / "raw")
    (tmp_path / "cases.csv").write_text("case\nx\n")
    with pytest.raises(CasesError, match="Export the data set again"):
        read_placed(tmp_path)
