import json

import pytest
from annotated import annotated

from training.facts import FactsError, facts_of, patients_of

SHA = "0" * 64


def run_of(folder, training, validation, datasets=(), phantoms=0.0, aside=0.2):
    """Write the run.json of a run; returns its folder."""
    folder.mkdir()
    data = {"datasets": list(datasets), "phantoms": phantoms, "validation": aside}
    sides = {
        name: {"images": len(patients), "patients": sorted(patients), "sha256": SHA}
        for name, patients in (("training", training), ("validation", validation))
    }
    about = {
        "config": {"seed": 1, "steps": 2, "batch": 2, "data": data, "run": {"selection": "last"}},
        "start": None,
        "data": sides,
        "versions": {"torch": "2.13.0"},
    }
    (folder / "run.json").write_text(json.dumps(about))
    return folder


def edit(folder, change):
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    for number, item in enumerate(content["items"]):
        change(number, item)
    path.write_text(json.dumps(content))


@pytest.fixture
def images(tmp_path):
    return annotated(tmp_path / "images")


def test_both_sides_are_counted_and_described(tmp_path, images):
    edit(
        images,
        lambda n, item: item.update(
            annotator="reader" if n else "other", source=f"hospital {n % 2}"
        ),
    )
    run = run_of(tmp_path / "run", ["p0", "p1", "p2", "p3"], ["p4", "p5"], [str(images)])
    found = facts_of(run)
    training = found["data"]["training"]
    assert training["images"] == 4 and training["patients"] == 4 and training["sha256"] == SHA
    assert training["annotators"] == [3, 1] and training["without_annotator"] == 0
    assert training["sources"] == {"hospital 0": 2, "hospital 1": 2}
    assert training["with_scale"] == 4 and found["scaled"] is True
    assert found["data"]["validation"]["visible"] == 1  # the last image shows none
    assert found["patients_on_both_sides"] == 0 and found["data_not_described"] is None
    assert patients_of(run) == {f"p{i}" for i in range(6)}


def test_no_name_and_no_place_is_passed_on(tmp_path, images):
    edit(images, lambda n, item: item.update(patient=f"Smith{n}", annotator="Dr Jones"))
    run = run_of(tmp_path / "run", ["Smith0", "Smith1"], ["Smith2"], [str(images)])
    told = json.dumps(facts_of(run))
    assert "Smith" not in told and "Jones" not in told and str(tmp_path) not in told


def test_images_without_a_scale_are_told(tmp_path):
    images = annotated(tmp_path / "images", spacing=None)
    run = run_of(tmp_path / "run", ["p0", "p1"], ["p2"], [str(images)])
    found = facts_of(run)
    assert found["scaled"] is False and found["data"]["training"]["with_scale"] == 0
    mixed = run_of(tmp_path / "mixed", ["p0", "p1"], ["p2"], [str(images)], phantoms=0.5)
    assert facts_of(mixed)["scaled"] is True  # phantoms have one


def test_data_that_moved_or_changed_are_counted_and_nobody_pretends_to_know_more(tmp_path, images):
    gone = run_of(tmp_path / "gone", ["p0"], ["p1"], [str(tmp_path / "nowhere")])
    found = facts_of(gone)
    assert found["data"]["training"]["images"] == 1 and "sources" not in found["data"]["training"]
    assert found["scaled"] is None and "no longer where they were" in found["data_not_described"]
    other = run_of(tmp_path / "other", ["q0"], ["p1"], [str(images)])
    assert "other patients by now" in facts_of(other)["data_not_described"]


def test_a_patient_on_both_sides_is_counted(tmp_path):
    run = run_of(tmp_path / "run", ["a", "b"], ["b"])
    assert facts_of(run)["patients_on_both_sides"] == 1


def test_a_run_on_phantoms_has_no_patients(tmp_path):
    run = run_of(tmp_path / "run", [], [], phantoms=1.0)
    found = facts_of(run)
    assert found["scaled"] is True and found["folders"] == 0
    assert found["data"]["training"] == {"images": 0, "patients": 0, "sha256": SHA}


def test_the_last_validations_are_kept_as_numbers(tmp_path):
    run = run_of(tmp_path / "run", [], [], phantoms=1.0)
    (run / "validation.csv").write_text("step,dice,mae_mm\n1,0.5,\n2,0.6,1.5\n")
    assert facts_of(run)["validation"] == [
        {"step": 1, "dice": 0.5},
        {"step": 2, "dice": 0.6, "mae_mm": 1.5},
    ]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"config": {}, "data": {}}', '{"config": 1, "data": {}}']
)
def test_a_damaged_run_is_explained(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(FactsError, match="cannot be used"):
        facts_of(tmp_path)
    with pytest.raises(FactsError, match="name the folder of a training run"):
        facts_of(tmp_path / "nowhere")
