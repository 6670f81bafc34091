"""Evaluations from folder to page, with networks that see what the test tells them."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("monai")

from app.cli import app
from data.cases import read_cases
from data.phantom.collection import write_phantoms
from inference.records import Call, Status
from models.bundle import load_bundle
from training.calibrate import fit_min_quality, fit_shift
from training.evaluate import evaluate
from training.gallery import badness, in_words
from training.report import summary_of, write_report
from training.summary import Result, summarise

MM = 0.2
SHAPE = (260, 300)
BAND = np.s_[100:130, 70:230]  # 6 mm by 32 mm
NAME = "DOE^JANE"


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


class Network:
    """Endometrium is what is brighter than halfway between the median and the brightest."""

    device = "cpu"

    def __init__(self, bundle, blind=False):
        self.labels, self.blind = bundle.labels, blind

    def __call__(self, batch):
        return np.stack([self.shares(grey) for grey in batch[:, 0]])

    def shares(self, grey):
        middle, top = np.median(grey[grey != 0]), grey.max()
        band = np.clip((grey - middle) / (top - middle), 0, 1) * (not self.blind)
        shares = dict.fromkeys(self.labels, np.zeros_like(grey))
        shares |= {"endometrium": band, "uterus": 1 - band}
        return np.stack([shares[label] for label in self.labels]).astype(np.float32)


def picture(path, band=BAND, seed=0):
    """A grey field with a bright band; the network above draws it as it is."""
    luma = np.zeros(SHAPE)
    luma[20:240, 20:280] = 70 + np.random.default_rng(seed).normal(0, 2, (220, 260))
    if band:
        luma[band] = 220
    Image.fromarray(np.clip(luma, 0, 255).astype(np.uint8)).save(path)


def label(name, **changes):
    rows, columns = BAND
    low, high = (rows.start - 0.5, columns.start - 0.5), (rows.stop - 0.5, columns.stop - 0.5)
    corners = [[low[1], low[0]], [high[1], low[0]], [high[1], high[0]], [low[1], high[0]]]
    return {
        "file": name,
        "visible": True,
        "polygon": corners,
        "thickness_mm_est": 6.0,
        "view": "sagittal",
        "pattern": "bright_band",
        "confidence": "high",
        "group": NAME,
        "calibration": {"mm_per_px_y": MM, "mm_per_px_x_est": MM},
    } | changes


def folder_of(folder, *labels):
    (folder / "labels.json").write_text(json.dumps({"labels": labels}))
    return folder


@pytest.fixture
def folder(tmp_path):
    """Right, a miss-placed truth, a false find, a broken file, a scale that cannot be."""
    for name in ("right.png", "wrong.png", "false.png", "scale.png"):
        picture(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    away = [[70, 180], [230, 180], [230, 195], [70, 195]]
    return folder_of(
        tmp_path,
        label("right.png"),
        label("wrong.png", polygon=away, thickness_mm_est=3.0, pattern="<script>x</script>"),
        label("broken.png"),
        label("false.png", visible=False, polygon=None, thickness_mm_est=None, pattern=None),
        label("scale.png", calibration={"mm_per_px_y": 4.0, "mm_per_px_x_est": 4.0}),
    )


def test_every_case_is_compared_and_a_broken_one_stops_nothing(folder, bundle):
    seen = []
    right, wrong, broken, false, scale = results = evaluate(
        read_cases(folder), bundle, Network(bundle), on_case=seen.append
    )
    assert seen == results
    assert right.measured
    assert right.fit.located
    assert right.fit.dice > 0.97
    assert right.fit.nsd == 1
    assert right.fit.centre_line_mm < 0.1
    assert abs(right.error_mm) < 0.15
    assert right.lower_mm < right.measured_mm < right.upper_mm
    assert right.quality > 0.5
    assert right.network_ms > 0
    assert right.seconds > 0
    assert right.families == {
        "pattern": "bright_band",
        "view": "sagittal",
        "confidence": "high",
        "thickness": "6 to 8 mm",
        "size": "up to 7 mm",
        "shape": "band",
    }
    assert wrong.measured
    assert not wrong.fit.located
    assert wrong.fit.dice == 0
    assert (broken.status, scale.status) == (Status.FAILED, Status.FAILED)
    assert "cannot be opened" in broken.message
    assert "4 x 4 mm" in scale.message
    assert false.measured
    assert not false.visible
    assert false.fit is None
    found = summarise(results)
    assert (found.n, found.failed, found.visible, found.absent) == (5, 2, 2, 1)
    assert found.on_target_share.value == found.misplaced_share.value == 0.5
    assert found.quiet_share.value == 0


def test_a_blind_network_is_refused_not_failed(folder, bundle):
    right, *_ = results = evaluate(read_cases(folder), bundle, Network(bundle, blind=True))
    assert (right.status, right.reason) == (Status.NOT_MEASURABLE, "no_endometrium")
    assert (right.outlined, right.drawn, right.fit, right.dice) == (False, True, None, 0)
    assert summarise(results).quiet_share.value == 1


def test_what_was_refused_for_its_quality_still_has_a_dice(folder, bundle):
    class Unsure(Network):
        def __call__(self, batch):
            shares = super().__call__(batch)
            shares[:, self.labels.index("endometrium")] *= 0.6
            return shares

    strict = replace(bundle, min_quality=0.3)
    right, *_ = evaluate(read_cases(folder), strict, Unsure(bundle))
    assert (right.status, right.reason) == (Status.NOT_MEASURABLE, "low_quality")
    assert right.outlined
    assert right.fit.located
    assert 0.5 < right.fit.dice < 1


def test_a_network_that_breaks_fails_its_cases(folder, bundle):
    class Broken(Network):
        def __call__(self, batch):
            raise RuntimeError("no memory")

    results = evaluate(read_cases(folder), bundle, Broken(bundle))
    assert {r.status for r in results} == {Status.FAILED}


def test_a_label_image_gives_outline_and_thickness(tmp_path, bundle):
    picture(tmp_path / "a.png")
    mask = np.zeros(SHAPE, np.uint8)
    mask[BAND] = 1
    Image.fromarray(mask).save(tmp_path / "a-label.png")
    Image.fromarray(mask[:-2]).save(tmp_path / "b-label.png")
    items = [
        {"image": "a.png", "label": name, "spacing": [MM, MM], "patient": NAME}
        for name in ("a-label.png", "b-label.png", "c-label.png")
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"items": items}))
    right, small, missing = evaluate(read_cases(tmp_path), bundle, Network(bundle))
    assert right.true_mm == pytest.approx(6, abs=0.05)
    assert abs(right.error_mm) < 0.15
    assert right.fit.dice > 0.97
    assert "258 x 300 pixels and its frame 260 x 300" in small.message
    assert "no such file" in missing.message


def test_thickness_alone_needs_no_outline(folder, bundle):
    right, *_ = evaluate(read_cases(folder), bundle, Network(bundle), outlines=False)
    assert right.fit is None
    assert not right.drawn
    assert right.error_mm is not None


class Page(HTMLParser):
    """Collects addresses, and whether every element that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.addresses += [v for k, v in attributes if k in ("src", "href", "action", "data")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def report(folder, bundle, network, **about):
    cases = read_cases(folder)
    results = evaluate(cases, bundle, network)
    write_report(folder / "out", summary_of(results, bundle, **about), cases, bundle, network)
    return (folder / "out/report.html").read_text(encoding="utf-8")


def test_the_page_stands_alone_and_names_nobody(folder, bundle):
    text = report(folder, bundle, Network(bundle))
    page = Page(text)
    assert page.open == []
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not re.search(r"https?:", text)
    assert "<script" not in text
    assert "&lt;script&gt;x" in text  # a group's name is text
    for secret in (NAME, "right.png", "wrong.png", str(folder)):
        assert secret not in text
    # What went wrong comes first: the wrong place and the false find, not what was right.
    captions = re.findall(r"<b>Case (\d+)\.</b> ([^<]*)", text)
    assert [number for number, _ in captions][:2] == ["2", "4"]
    assert "in a wrong place" in captions[0][1]
    assert "where no endometrium is to be seen" in captions[1][1]


def test_the_plot_is_sound(folder, bundle):
    text = report(folder, bundle, Network(bundle))
    (svg,) = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    tree = ElementTree.fromstring(svg)
    assert len(tree.findall("circle")) == 2
    words = [text.text for text in tree.findall("text")]
    assert any(word.startswith("bias") for word in words)
    for dot in tree.findall("circle"):
        assert 0 <= float(dot.get("cx")) <= 640
        assert 0 <= float(dot.get("cy")) <= 340


def test_the_page_says_whether_to_believe_if_asked_to(folder, bundle):
    assert "<h2>Trust</h2>" not in report(folder, bundle, Network(bundle))
    assert "trust" not in json.loads((folder / "out/summary.json").read_text())
    text = report(folder, bundle, Network(bundle), trust=True)
    assert Page(text).open == []
    assert "<h2>Trust</h2>" in text and "all measured" in text
    assert "&lt;script&gt;x" in text and "<script" not in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        for dot in ElementTree.fromstring(svg).findall("circle"):
            assert 0 <= float(dot.get("cx")) <= 640
            assert 0 <= float(dot.get("cy")) <= 340
    trust = json.loads((folder / "out/summary.json").read_text())["trust"]
    assert trust["groups"][0]["n"] == 2
    assert len(trust["curve"]) == 20
    assert sum(sum(row.values()) for row in trust["situations"].values()) == 3


def test_the_tables_say_the_same(folder, bundle):
    report(folder, bundle, Network(bundle))
    with (folder / "out/cases.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == list("12345")
    assert rows[0]["name"] == "right.png"
    assert abs(float(rows[0]["error_mm"])) < 0.15
    assert float(rows[0]["dice"]) > 0.97
    assert rows[3]["measured_mm"]
    assert rows[3]["dice"] == ""
    assert rows[2]["status"] == "failed"
    summary = json.loads((folder / "out/summary.json").read_text())
    assert summary["all"]["failed"] == 2
    assert summary["bundle"]["sha256"] == bundle.sha256
    assert NAME not in json.dumps(summary)


def test_an_evaluation_of_nothing_but_failures_has_a_page(tmp_path, bundle):
    text = report(folder_of(tmp_path, label("nowhere.png")), bundle, Network(bundle))
    assert Page(text).open == []
    assert "None: every case" in text


RESULT = Result("a", "p", {}, True, 5.0, Status.MEASURED, measured_mm=7.0, call=Call.NOT_THIN)


def test_worse_is_worse():
    refused = replace(RESULT, status=Status.NOT_MEASURABLE, reason="low_quality", measured_mm=None)
    false = replace(RESULT, visible=False, true_mm=None)
    order = [false, RESULT, refused, replace(RESULT, measured_mm=5.1)]
    values = [badness(result) for result in order]
    assert values == sorted(values, reverse=True)
    assert badness(replace(refused, visible=False)) == 0
    assert in_words(RESULT) == "Measured 7.0 mm instead of 5.0 mm: 2.0 mm too thick."
    assert in_words(refused).startswith("Not measured: too uncertain to give a number. True")


def test_the_quality_limit_parts_good_numbers_from_false_ones():
    false = [
        replace(RESULT, visible=False, true_mm=None, quality=q) for q in np.linspace(0, 0.5, 51)
    ]
    good = [replace(RESULT, measured_mm=RESULT.true_mm, quality=q) for q in (0.3, *[0.9] * 99)]
    far = [replace(RESULT, measured_mm=RESULT.true_mm + 5, quality=0.1)] * 20
    limit = fit_min_quality(false + good + far)
    assert 0.5 < limit <= 0.9  # every false one is below, and one good one of a hundred
    assert fit_min_quality([*false[:1], *good]) <= 0.3
    with pytest.raises(ValueError, match="with and without"):
        fit_min_quality(good)


def test_the_shift_that_errs_least_is_taken(tmp_path, bundle):
    """A network that draws too freely is held back."""

    class Free(Network):
        def __call__(self, batch):
            shares = super().__call__(batch)
            i = self.labels.index("endometrium")
            odds = shares[:, i] / np.clip(1 - shares[:, i], 1e-3, None) * np.exp(1.8)
            shares[:, i] = odds / (1 + odds)
            shares[:, self.labels.index("uterus")] = 1 / (1 + odds)
            return shares

    picture(tmp_path / "a.png")
    cases = read_cases(folder_of(tmp_path, label("a.png")))
    held_back = fit_shift(cases, bundle, Free(bundle))
    assert held_back > 0 >= fit_shift(cases, bundle, Network(bundle))


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_the_command_judges_phantoms_and_leaves_its_report(tmp_path, bundle):
    write_phantoms(tmp_path / "phantoms", n=2, seed=5)
    done = run("default", tmp_path / "phantoms", "--out", tmp_path / "out", "--trust")
    assert done.exit_code == 0, done.stderr
    assert "Measured" in done.stdout
    assert "what each got" in done.stdout and "half width" in done.stdout
    assert "report" in done.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "report.html",
        "cases.csv",
        "summary.json",
    }
    again = run(bundle.path, tmp_path / "phantoms", "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)["all"]["n"] == 2


def test_a_case_that_failed_is_a_status_of_its_own(folder):
    done = run("default", folder)
    assert done.exit_code == 1
    assert "broken.png failed" in done.stdout


def test_wrong_usage_is_said(folder, tmp_path):
    (tmp_path / "file").write_text("")
    for arguments, says in (
        (("default", tmp_path / "nowhere"), "none of them"),
        ((tmp_path / "nowhere", folder), "not a bundle"),
        (("default", folder, "--device", "tpu"), "--device 'tpu'"),
        (("default", folder, "--out", tmp_path / "file"), "cannot be written"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, done.output
        assert says in done.stderr


def test_without_monai_the_command_says_what_to_install(folder, monkeypatch):
    for name in ("monai", "monai.metrics"):
        monkeypatch.setitem(sys.modules, name, None)
    done = run("default", folder)
    assert done.exit_code == 2
    assert "pip install 'endometer[train]'" in done.stderr


def test_reading_about_an_evaluation_needs_no_torch():
    code = (
        "import sys, app.cli, app.evaluation, data.cases, training.calibrate, training.gallery;"
        "sys.exit(bool({'torch', 'monai'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
