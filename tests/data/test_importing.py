"""An import as a whole: names, patients, scales, faults, and that nothing is left half done."""

import csv
import json

import numpy as np
import pytest
from dicom_factory import SECRET_NAME
from drawings import MAPPING, SHAPE, dicom, items, scan, taken, truth, xy
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.importers.annotation import Layer
from data.importers.formats import FORMATS, FormatError
from data.importers.labels import MappingError, known_labels, label_image, read_mapping
from data.importers.patients import RuleError, pseudonym
from data.importing import ImportFailedError, Wishes, import_dataset

BAND = [[20, 30], [100, 30], [100, 50], [20, 50]]


def labelme(folder, name, *, label="Endo", points=BAND, picture=None, seed=0, shapes=None):
    """One LabelMe file with its picture, DICOM if the picture's name says so."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = picture or f"{name}.png"
    make = dicom if picture.endswith(".dcm") else scan
    make(folder / picture, seed)
    drawn = [{"label": label, "points": points}] if shapes is None else shapes
    said = {"shapes": drawn, "imagePath": picture, "imageHeight": SHAPE[0], "imageWidth": SHAPE[1]}
    (folder / f"{name}.json").write_text(json.dumps(said))
    return folder


def everything(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_the_folder_is_one_that_monai_reads(tmp_path):
    monai = pytest.importorskip("monai.data")
    for n in range(3):
        labelme(tmp_path / "in", f"a{n}", seed=n)
    taken(tmp_path / "in", tmp_path / "out", spacing_mm=(0.12, 0.13), annotator="r1")
    listed = monai.load_decathlon_datalist(
        str(tmp_path / "out/dataset.json"), data_list_key="items"
    )
    assert len(listed) == 3
    for item in listed:
        assert np.asarray(Image.open(item["image"])).shape == SHAPE
        assert np.array_equal(np.asarray(Image.open(item["label"])), truth(fluid=False))
        assert item["spacing"] == [0.12, 0.13]
        assert (item["source"], item["annotator"], item["frame"]) == ("labelme", "r1", 1)


def test_names_that_are_not_mapped_are_all_told_with_the_words_to_add(tmp_path):
    labelme(tmp_path / "in", "a", label="Endo metrium")
    labelme(tmp_path / "in", "b", label="Uterus", seed=1)
    labelme(tmp_path / "in", "c", label="Uterus", seed=2)
    with pytest.raises(ImportFailedError) as error:
        taken(tmp_path / "in", tmp_path / "out", {"Uterus": "ignore"})
    said = str(error.value)
    assert "'Endo metrium': 1 times, not mapped" in said
    assert "'Uterus': 2 times, ignore" in said
    assert "--map 'Endo metrium=MEANING'" in said
    assert "--map Uterus" not in said
    assert everything(tmp_path) == sorted(["in", *(f"in/{p}" for p in everything(tmp_path / "in"))])


@pytest.mark.parametrize("word", ["Endo", "Endo=uterus", "=fluid", "a=endometrium=cavity"])
def test_a_mapping_that_is_none_is_told(word):
    with pytest.raises(MappingError, match=r"NAME=MEANING"):
        read_mapping([word])


def test_a_name_may_hold_an_equals_sign_and_has_one_meaning():
    assert read_mapping(["a=b=fluid", " Endo =endometrium"]) == {
        "a=b": "fluid",
        "Endo": "endometrium",
    }
    with pytest.raises(MappingError, match="two meanings"):
        read_mapping(["a=fluid", "a=endometrium"])


def test_what_an_annotation_tells_apart_is_what_is_mapped_unless_it_is_stated():
    assert known_labels({"a": "endometrium", "b": "ignore"}, None) == ("endometrium",)
    assert known_labels({"a": "endometrium", "b": "fluid"}, None) == ("endometrium", "fluid")
    assert known_labels({"a": "endometrium"}, ("fluid", "endometrium")) == ("endometrium", "fluid")
    with pytest.raises(MappingError, match="leaves out fluid"):
        known_labels({"a": "endometrium", "b": "fluid"}, ("endometrium",))
    with pytest.raises(MappingError, match="--labels lists"):
        known_labels({"a": "endometrium"}, ("endometrium", "uterus"))


masks = st.lists(
    st.tuples(
        st.sampled_from(["e1", "e2", "f", "b", "i"]),
        st.lists(st.booleans(), min_size=12, max_size=12),
    ),
    max_size=6,
)


@given(masks, st.randoms(use_true_random=False))
def test_fluid_wins_over_endometrium_and_background_over_both_in_any_order(drawn, random):
    mapping = {"e1": "endometrium", "e2": "endometrium", "f": "fluid", "b": "background",
               "i": "ignore"}  # fmt: skip
    layers = [Layer(name, np.array(bits).reshape(3, 4)) for name, bits in drawn]

    def union(*names):
        found = np.zeros((3, 4), bool)
        for layer in layers:
            if layer.name in names:
                found |= layer.mask
        return found

    expected = np.where(union("f"), 2, union("e1", "e2").astype(int))
    expected[union("b")] = 0
    assert np.array_equal(label_image(layers, mapping, (3, 4)), expected)
    random.shuffle(layers)
    assert np.array_equal(label_image(layers, mapping, (3, 4)), expected)


def test_images_with_nothing_drawn_are_counted_and_taken_only_if_asked(tmp_path):
    labelme(tmp_path / "in", "a")
    labelme(tmp_path / "in", "b", seed=1, shapes=[])
    scan(tmp_path / "in/c.png", seed=2)
    done, cases = taken(tmp_path / "in", tmp_path / "out")
    assert (done.without, done.empty, len(cases)) == (2, 0, 1)
    done, cases = taken(tmp_path / "in", tmp_path / "all", empty=True)
    assert (done.without, done.empty, len(cases)) == (2, 2, 3)
    assert sorted(case.visible for case in cases) == [False, False, True]


def test_nothing_at_all_is_no_data_set(tmp_path):
    labelme(tmp_path / "in", "b", shapes=[])
    with pytest.raises(ImportFailedError, match=r"nothing to import.*--empty"):
        taken(tmp_path / "in", tmp_path / "out")
    scan(tmp_path / "bare/a.png")
    with pytest.raises(FormatError, match="no annotations were found in 1 files"):
        taken(tmp_path / "bare", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_faults_are_told_together_and_the_sound_ones_wait_for_the_word(tmp_path):
    for n in range(13):
        labelme(tmp_path / "in", f"bad{n:02}", seed=n, points=[[1, 1], [2, 2]])
    labelme(tmp_path / "in", "good", seed=50)
    with pytest.raises(ImportFailedError) as error:
        taken(tmp_path / "in", tmp_path / "out")
    said = str(error.value)
    assert said.count("an outline has 2 corners") == 10
    assert "and 3 more." in said
    assert "--skip-faulty" in said
    assert not (tmp_path / "out").exists()
    done, (case,) = taken(tmp_path / "in", tmp_path / "out", skip_faulty=True)
    assert len(done.faults) == 13
    assert np.array_equal(case.mask(), truth(fluid=False))


def test_two_formats_in_one_folder_are_no_guess(tmp_path):
    labelme(tmp_path / "in", "a")
    Image.fromarray(truth()).save(tmp_path / "in/a_mask.png")
    with pytest.raises(FormatError, match=r"masks \(1 files\), labelme \(1 files\)"):
        taken(tmp_path / "in", tmp_path / "out")
    done, _ = taken(tmp_path / "in", tmp_path / "out", format="labelme")
    assert done.format == "labelme"


def test_a_folder_that_is_in_use_is_left_alone(tmp_path):
    labelme(tmp_path / "in", "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/diary.txt").write_text("mine")
    with pytest.raises(ImportFailedError, match="not empty"):
        taken(tmp_path / "in", tmp_path / "out")
    assert everything(tmp_path / "out") == ["diary.txt"]
    taken(tmp_path / "in", tmp_path / "new")
    with pytest.raises(ImportFailedError, match="--append"):
        taken(tmp_path / "in", tmp_path / "new")
    with pytest.raises(ImportFailedError, match=r"no dataset\.json to append to"):
        taken(tmp_path / "in", tmp_path / "other", append=True)


def test_more_is_added_and_what_is_there_already_is_told(tmp_path):
    labelme(tmp_path / "one", "a")
    labelme(tmp_path / "two", "b", seed=1)
    labelme(tmp_path / "two", "again", seed=0)
    taken(tmp_path / "one", tmp_path / "out", annotator="r1")
    before = items(tmp_path / "out")
    done, cases = taken(tmp_path / "two", tmp_path / "out", append=True, annotator="r2")
    assert (len(cases), done.items, done.again) == (3, 2, 1)
    assert items(tmp_path / "out")[:1] == before
    assert len({case.label for case in cases}) == 3
    assert len({case.path for case in cases}) == 2
    # the same reader, another drawing: one of them is wrong
    labelme(tmp_path / "three", "a", points=[[20, 30], [100, 30], [100, 60]])
    with pytest.raises(ImportFailedError, match="drawn differently by r1"):
        taken(tmp_path / "three", tmp_path / "out", append=True, annotator="r1")
    assert len(items(tmp_path / "out")) == 3


def test_a_broken_list_is_not_added_to(tmp_path):
    labelme(tmp_path / "in", "a")
    taken(tmp_path / "in", tmp_path / "out")
    listed = tmp_path / "out/dataset.json"
    listed.write_text(listed.read_text().replace('"frame": 1', '"frame": "x"'))
    before = listed.read_text()
    with pytest.raises(ImportFailedError, match="frame is 'x'"):
        taken(tmp_path / "in", tmp_path / "out", append=True)
    assert listed.read_text() == before


def test_the_same_drawing_of_the_same_picture_counts_once(tmp_path):
    labelme(tmp_path / "in", "a")
    labelme(tmp_path / "in", "copy")
    done, cases = taken(tmp_path / "in", tmp_path / "out")
    assert len(cases) == 1
    assert done.same == ("copy.json (a.png)",)


def test_dicom_files_stay_and_keep_their_scale_and_names_stay_out_of_names(tmp_path):
    folder = tmp_path / f"in/{SECRET_NAME}"
    labelme(folder, "a", picture="SECRET-a.dcm")
    done, (case,) = taken(tmp_path / "in", tmp_path / "out", spacing_mm=(0.3, 0.3))
    assert case.path.read_bytes() == (folder / "SECRET-a.dcm").read_bytes()
    assert case.spacing_mm is None  # the file's own wins
    assert done.identified == 1
    assert "SECRET" not in (tmp_path / "out/dataset.json").read_text()
    assert not [name for name in everything(tmp_path / "out") if "SECRET" in name]
    assert case.patient == pseudonym("SECRET-0", None)


def test_patients_come_by_the_rule_and_as_pseudonyms_unless_asked(tmp_path):
    labelme(tmp_path / "in/P01", "x_1")
    labelme(tmp_path / "in/P02", "x_2", seed=1)

    def patients(name, **wishes):
        taken(tmp_path / "in", tmp_path / name, **wishes)
        return [item.get("patient") for item in items(tmp_path / name)]

    assert patients("a", patient="folder", plain=True) == ["P01", "P02"]
    assert patients("b", patient=r"x_(\d)", plain=True) == ["1", "2"]
    assert patients("c", patient="folder") == [pseudonym("P01", None), pseudonym("P02", None)]
    keyed = patients("d", patient="folder", key=b"k" * 16)
    assert keyed == [pseudonym("P01", b"k" * 16), pseudonym("P02", b"k" * 16)]
    assert patients("e") == patients("f", patient="none") == [None, None]
    for rule, says in (("dicom", "no PatientID"), (r"(P09)", "not in its path")):
        with pytest.raises(ImportFailedError, match=says):
            patients("g", patient=rule)
    for rule in ("P01", "(", "(a)(b)"):
        with pytest.raises(RuleError, match="--patient"):
            patients("g", patient=rule)


def test_originals_are_written_down_only_if_asked(tmp_path):
    labelme(tmp_path / "in/P01", "a")
    taken(tmp_path / "in", tmp_path / "out", patient="folder", listing=tmp_path / "who.csv")
    (row,) = csv.DictReader((tmp_path / "who.csv").open())
    assert (row["original"], row["original_patient"]) == ("P01/a.png", "P01")
    assert row["image"] == items(tmp_path / "out")[0]["image"]
    labelme(tmp_path / "more/P02", "b", seed=1)
    taken(tmp_path / "more", tmp_path / "out", patient="folder", append=True,
          listing=tmp_path / "who.csv")  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "who.csv").open()))
    assert [row["original_patient"] for row in rows] == ["P01", "P02"]


def test_an_import_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    labelme(tmp_path / "in", "a")
    labelme(tmp_path / "in", "b", seed=1)
    heard = []

    def break_off(number):
        heard.append(number)
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_dataset(tmp_path / "in", tmp_path / "out", Wishes(MAPPING), break_off)
    assert heard == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_picture_of_several_frames_needs_one_that_is_named(tmp_path):
    labelme(tmp_path / "in", "a")
    dicom(tmp_path / "scans/a.dcm", frames=3)
    with pytest.raises(ImportFailedError, match="has 3 frames, and nothing says which"):
        taken(tmp_path / "in", tmp_path / "out", images=tmp_path / "scans")


def test_every_format_has_a_reader_that_finds_nothing_in_nothing():
    assert len({one.name for one in FORMATS}) == len(FORMATS)
    for one in FORMATS:
        assert one.reader.among([]) == []


def test_xy_is_the_corner_convention_of_the_tools():
    assert xy([(29.5, 19.5)]) == [[20, 30]]
