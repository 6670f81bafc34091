"""The page of a run: what it counts and lists, whom it names, and that it stays small."""

import html
import json
import re
from random import Random

import pytest
from PIL import Image

from inference.overlay import CAPTION_PX, OUTLINE, overlay_name
from inference.records import CLIP_COLUMNS
from inference.report.figures import histogram, interval_range, trend
from inference.report.least import Least
from inference.report.tally import Agreement, Tally
from inference.report.thumbnails import SIZE, Thumbnails
from inference.report.trends import MOST_STUDIES, Trends
from inference.report.urgency import GROUPS, Urgent
from inference.report.write import write_report

SUMMARY = {
    "versions": {"endometer": "0.1.0", "pydicom": "3.0.2"},
    "bundle": {"name": "phantom-5", "sha256": "2b" * 32},
    "settings": {"threshold_mm": 6.0, "device": "cpu", "spacing_mm": None, "allow_ruler": False},
    "counts": {"empty_sources": ["/archive/Doe^Jane"]},
    "complete": True,
}


def row(n=1, **values):
    """A measured clip of 5 mm (4 to 5.4), called thin and good, or what `values` make of it."""
    clip = dict.fromkeys(CLIP_COLUMNS)
    return clip | {
        "file": f"/archive/{n:06d}.dcm",
        "sha256": f"{n:012x}" + "0" * 52,
        "frames": 1,
        "frame": 1,
        "status": "measured",
        "thickness_mm": 5.0,
        "lower_mm": 4.0,
        "upper_mm": 5.4,
        "call": "thin",
        "threshold_mm": 6.0,
        "quality": 0.95,
        "calibration": "ultrasound_region",
        **values,
    }


def measured(n, mm, half=1.0, **values):
    low, high = mm - half, mm + half
    call = "thin" if high < 6 else "not_thin" if low >= 6 else "indeterminate"
    return row(n, thickness_mm=mm, lower_mm=low, upper_mm=high, call=call, **values)


def refused(n, reason, quality=None, **values):
    nothing = dict.fromkeys(["thickness_mm", "lower_mm", "upper_mm", "call", "threshold_mm"])
    return row(n, **nothing, status="not_measurable", reason=reason, quality=quality, **values)


def failed(n, message="The file was cut short.", **values):
    return refused(n, None, sha256=None, frame=None, **values) | {
        "status": "failed",
        "message": message,
    }


def page(folder, rows, summary=SUMMARY, **options):
    write_report(folder / "report.html", rows, summary, folder / "overlays", **options)
    return (folder / "report.html").read_text(encoding="utf-8")


def overlay(folder, clip, box=(300, 200, 420, 260), size=(720, 500)):
    """Draw an overlay: grey, an outline around `box` (left, top, right, bottom), a caption."""
    folder.mkdir(exist_ok=True)
    picture = Image.new("RGB", (size[0], size[1] + CAPTION_PX), (90, 90, 90))
    for x in range(box[0], box[2]):
        for y in (box[1], box[1] + 1, box[3] - 2, box[3] - 1):
            picture.putpixel((x, y), OUTLINE)
    clip["overlay"] = overlay_name(clip["sha256"][:16], clip["frame"])
    path = folder / clip["overlay"]
    picture.save(path)
    return path


# What is urgent.


def order(rows):
    urgent = Urgent()
    for each in rows:
        urgent.add(each)
    return {group.name: [r["file"][9:15] for r in held] for group, _, held in urgent.listed()}


def test_the_groups_and_their_order():
    rows = [
        measured(1, 9.0),
        failed(2),
        refused(3, "no_endometrium"),
        refused(4, "cut_off", 0.6),
        refused(5, "low_quality", 0.01),
        refused(6, "low_quality", 0.09),
        measured(7, 7.2, quality=0.99),
        measured(8, 4.0, quality=0.3),
        measured(9, 9.0, quality=0.2),
        measured(10, 6.9),
        measured(11, 5.8, quality=0.1),
        measured(12, 9.0, sonographer_mm=7.0),
        measured(13, 9.0, sonographer_mm=3.0, quality=0.1),
        measured(14, 9.0, sonographer_mm=9.5),
        refused(15, "no_calibration", 0.9, sonographer_mm=3.0),
    ]
    expected = {
        "indeterminate": ["000011", "000010"],
        "contradicted": ["000013", "000012"],
        "doubtful": ["000009", "000008"],
        "near": ["000007"],
        "refused": ["000006", "000005", "000004", "000015", "000003"],
        "failed": ["000002"],
        "clear": ["000001", "000014"],
    }
    assert order(rows) == expected
    assert list(order(rows)) == [group.name for group in GROUPS] == list(expected)
    assert order(reversed(rows)) == expected


@pytest.mark.parametrize("seed", range(3))
def test_the_least_of_many_are_kept_in_any_order(seed):
    random = Random(seed)
    keys = [random.randrange(50) for _ in range(500)]
    least = Least(7)
    for i, key in enumerate(keys):
        least.add((key, i), key)
        assert len(least._held) < 14
    assert least.values() == sorted(keys)[:7]
    assert least.added == 500


# What is counted.


def test_the_threshold_is_an_edge_of_the_histogram():
    tally = Tally(6.0)
    for n, mm in enumerate((5.99, 6.0, 6.49, 6.5, 0.2, 400.0)):
        tally.add(measured(n, mm, 0.005))
    assert {place for place, _ in tally.bins} == {-1, 0, 1, -12, 40}
    assert tally.bins[0, "not_thin"] == 1 and tally.bins[0, "indeterminate"] == 1
    laid = histogram(tally)
    assert laid.rows[0] == ("0 to 0.5 mm", (1, 0, 0))
    assert laid.rows[-1] == ("26 mm and more", (0, 1, 0))
    assert sum(sum(counts) for _, counts in laid.rows) == 6
    # No bar of what is thin reaches beyond the line, none of what is not stands before it.
    for bar in laid.bars:
        if bar.call == "thin":
            assert bar.x + bar.width <= laid.threshold + 0.1
        if bar.call == "not_thin":
            assert bar.x >= laid.threshold - 0.1
    assert all(bar.y >= 0 and bar.y + bar.height <= laid.plot.height + 0.1 for bar in laid.bars)


def test_agreement_is_that_of_all_and_drawn_of_a_sample():
    random = Random(5)
    gaps = [random.gauss(0.4, 1.2) for _ in range(3000)]
    agreement = Agreement()
    for i, gap in enumerate(gaps):
        agreement.add(6.0, 6.0 + gap, f"{Random(i).getrandbits(64):016x}")
    mean = sum(gaps) / 3000
    sd = (sum((g - mean) ** 2 for g in gaps) / 2999) ** 0.5
    assert agreement.mean_mm == pytest.approx(mean)
    assert agreement.limits_mm == pytest.approx((mean - 1.96 * sd, mean + 1.96 * sd))
    drawn = [found - by_hand for by_hand, found in agreement.sample.values()]
    assert len(drawn) == 800
    assert sum(drawn) / 800 == pytest.approx(mean, abs=0.15)


# Patients over time.


def study(n, patient, uid, at, mm, **values):
    return measured(n, mm, patient_id=patient, study_instance_uid=uid, acquired_at=at, **values)


def test_the_best_clip_speaks_for_a_study_and_time_orders_them():
    trends = Trends()
    for each in (
        study(1, "P1", "1.2", "2026-02-01T10:00:00+02:00", 7.0, quality=0.8),
        study(2, "P1", "1.1", "2026-01-04", 5.0, quality=0.9),
        study(3, "P1", "1.2", "2026-02-01T10:05:00", 8.0, quality=0.9),
        study(4, "P1", "1.2", "2026-02-01T10:06:00", 12.0, quality=0.3),
        study(5, "P2", "1.3", "2026-01-04", 5.0),
        study(6, "P3", "1.4", None, 5.0),
        study(7, "P3", "1.5", "soon", 5.0),
        study(8, None, "1.6", "2026-01-04", 5.0),
        refused(9, "cut_off", patient_id="P2", study_instance_uid="1.9", acquired_at="2026-01-04"),
    ):
        trends.add(each)
    (patient,) = trends.several()
    assert (patient.patient_id, trends.sampled) == ("P1", False)
    assert [each.mm for each in patient.studies] == [5.0, 8.0]
    laid = trend(patient, 6.0, dates=False)
    assert laid.words == ("day 0: 5.0 mm (4.0–6.0)", "day 28: 8.0 mm (7.0–9.0)")
    assert laid.summary == "5.0 to 8.0 mm"
    assert trend(patient, 6.0, dates=True).words[0].startswith("2026-01-04: ")
    assert laid.points[0].y > laid.threshold > laid.points[1].y


def test_overlapping_intervals_are_no_change():
    trends = Trends()
    trends.add(study(1, "P", "1", "2026-01-01", 5.0))
    trends.add(study(2, "P", "2", "2026-01-01T08:00:00", 6.5))
    laid = trend(trends.several()[0], 6.0, dates=False)
    assert laid.summary == "5.0 to 6.5 mm; the intervals overlap"
    assert laid.span == "day 0"


def test_studies_of_one_moment_stand_side_by_side():
    trends = Trends()
    for n in range(3):
        trends.add(study(n, "P", f"{n}", "2026-01-01", 5.0))
    laid = trend(trends.several()[0], 6.0, dates=False)
    assert [point.x for point in laid.points] == [0.0, 100.0, 200.0]


def test_of_too_many_patients_a_sample_is_followed_whatever_the_order():
    rows = [
        study(n, f"P{n % 500}", f"{n}", f"2026-01-{1 + n // 500:02d}", 5.0) for n in range(1500)
    ]
    found = []
    for each in (rows, rows[::-1], Random(1).sample(rows, len(rows))):
        trends = Trends(most=20)
        for one in each:
            trends.add(one)
            assert len(trends._patients) <= 40
        assert trends.sampled
        found.append([(p.patient_id, len(p.studies)) for p in trends.several()])
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 20 and {n for _, n in found[0]} == {3}


def test_a_patient_of_endless_studies_keeps_the_latest():
    trends = Trends()
    for n in range(MOST_STUDIES + 30):
        trends.add(study(n, "P", f"{n}", f"20{10 + n // 12}-{1 + n % 12:02d}-01", 5.0))
    kept = trends.several()[0].studies
    assert len(kept) == MOST_STUDIES and kept[-1].at.year == 2017
    laid = trend(trends.several()[0], 6.0, dates=False)
    assert len(laid.points) + laid.left_out == MOST_STUDIES


# Pictures.


def test_a_thumbnail_shows_the_outline_and_not_the_caption(tmp_path):
    pictures = Thumbnails()
    near_the_edge = overlay(tmp_path, row(1), (0, 440, 60, 500))
    text = pictures.of(near_the_edge)
    assert text.startswith("data:image/webp;base64,")
    assert pictures.left == 10_000_000 - len(text)
    shown = decoded(text)
    assert shown.size == SIZE
    # Moved inside the picture: the outline stands in the lower left corner, nothing is black.
    grey = shown.convert("L")
    assert grey.getextrema()[0] > 60
    assert sum(map(is_blue, pixels(shown))) > 60


def test_a_picture_too_large_for_the_window_is_shown_whole(tmp_path):
    shown = decoded(Thumbnails().of(overlay(tmp_path, row(1), (10, 10, 710, 490))))
    rows = [y for y in range(200) if is_blue(shown.getpixel((150, y)))]
    assert 0 < rows[0] < 20 and 180 < rows[-1] < 199, "both lines of the outline"


def test_no_picture_beyond_the_budget_or_of_a_broken_file(tmp_path):
    good = overlay(tmp_path, row(1))
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:200])
    assert Thumbnails().of(broken) is None
    assert Thumbnails().of(tmp_path / "none.png") is None
    assert Thumbnails(budget=100).of(good) is None


def is_blue(pixel):
    return pixel[2] > pixel[0] + 12


def decoded(text):
    import base64
    import io

    return Image.open(io.BytesIO(base64.b64decode(text.split(",")[1]))).convert("RGB")


def pixels(picture):
    return [picture.getpixel((x, y)) for x in range(picture.width) for y in range(picture.height)]


def test_an_interval_stays_on_its_line():
    shown = interval_range(-1.0, 30.0, 6.0, 6.0)
    assert (shown.low, shown.at, shown.high) == (0.0, 50.0, 100.0)


# The page.


def test_the_page_says_what_became_of_the_clips(tmp_path):
    rows = [measured(1, 4.0), measured(2, 5.9), refused(3, "cut_off", 0.5), failed(4)]
    text = re.sub(r"<[^>]+>", " ", page(tmp_path, rows))
    text = re.sub(r"\s+", " ", html.unescape(text))
    assert "Endometrial thickness of 4 clips" in text
    assert "2 measured, 1 refused, 1 failed. Threshold 6 mm." in text
    assert "not a medical device" in text
    assert "the endometrium is cut off by the edge of the picture 1 25 %" in text
    assert "indeterminate at 6 mm 1 25 %" in text
    assert "phantom-5, sha256 2b2b" in text and "pydicom 3.0.2" in text
    assert "ended early" not in text
    unfinished = page(tmp_path, rows, SUMMARY | {"complete": False})
    assert "This run ended early" in unfinished


def test_duplicates_are_told_and_not_counted_again(tmp_path):
    rows = [measured(1, 4.0), measured(2, 4.0, duplicate_of="/archive/000001.dcm")]
    text = page(tmp_path, rows)
    assert "1 measured, 0 refused" in text and "000000000002" not in text
    assert "1 more file with the same images is not counted here." in text
    assert "not counted here" not in page(tmp_path, rows[:1])


def test_a_page_of_nothing(tmp_path):
    assert "There are no clips." in page(tmp_path, [])


def test_pictures_open_their_overlays_and_are_described(tmp_path):
    clips = [measured(1, 5.9), measured(2, 6.1), refused(3, "cut_off", 0.5)]
    for clip in (clips[0], clips[2]):
        overlay(tmp_path / "overlays", clip)
    text = page(tmp_path, clips)
    links = re.findall(r'<a href="(overlays/[^"]+)"><img src="data:image/webp[^"]*"[^>]*>', text)
    assert links == [f"overlays/{overlay_name(c['sha256'][:16], 1)}" for c in (clips[0], clips[2])]
    assert 'alt="Overlay of 000000000001: 5.9 mm (4.9–6.9), indeterminate at 6 mm"' in text
    assert "000000000002" in text  # listed without a picture
    (tmp_path / links[0]).unlink()
    assert links[0] not in page(tmp_path, clips)


def test_a_folder_elsewhere_is_linked_relative_to_the_page(tmp_path):
    clip = measured(1, 5.9)
    overlay(tmp_path / "a # b", clip)
    (tmp_path / "pages").mkdir()
    write_report(tmp_path / "pages" / "r.html", [clip], SUMMARY, tmp_path / "a # b")
    text = (tmp_path / "pages" / "r.html").read_text(encoding="utf-8")
    assert '<a href="../a%20%23%20b/0000000000010000-frame0001.png">' in text


PERSON = {
    "file": "/archive/Doe^Jane/DOE_JANE.dcm",
    "patient_id": "PID-77",
    "study_instance_uid": "1.2.840.99",
    "sop_instance_uid": "1.2.840.100",
    "acquired_at": "2026-03-05T09:00:00",
}
SECRETS = ("Doe", "JANE", "PID-77", "1.2.840", "2026-03", "archive")


def people():
    again = PERSON | {"study_instance_uid": "1.2.840.98", "acquired_at": "2026-03-19"}
    return [
        measured(1, 5.9, **PERSON),
        measured(2, 6.2, **again),
        failed(3, "/archive/Doe^Jane/DOE_JANE.dcm: DOE_JANE.dcm ends early.", **PERSON),
    ]


def test_nobody_is_named_unless_that_is_asked_for(tmp_path):
    text = page(tmp_path, people())
    assert [secret for secret in SECRETS if secret in text] == []
    assert "patient 1, study 1" in text and "patient 1, study 2" in text
    assert "the file: the file ends early." in text
    assert "day 0" in text and "day 13" in text
    named = page(tmp_path, people(), names=True)
    assert "/archive/Doe^Jane/DOE_JANE.dcm" in html.unescape(named)
    assert "patient PID-77, study 1, 2026-03-05" in named
    assert "2026-03-19: 6.2 mm" in named


HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.example/>\u202e"


def test_what_a_file_says_is_text(tmp_path):
    clip = measured(1, 5.9, file=HOSTILE, patient_id=HOSTILE, study_instance_uid=HOSTILE)
    bundle = {"name": HOSTILE, "sha256": HOSTILE}
    text = page(tmp_path, [clip, failed(2, HOSTILE)], SUMMARY | {"bundle": bundle}, names=True)
    assert "<script" not in text and "<img" not in text
    assert html.escape("<script>alert(") in text
    attributes = re.findall(r"<[a-z]+\b[^<>]*", text)
    assert not any("evil.example" in each for each in attributes)


def test_the_page_needs_nothing_from_outside_and_runs_nothing(tmp_path):
    clips = [measured(1, 5.9, sonographer_mm=5.0), *people()]
    overlay(tmp_path / "overlays", clips[0])
    text = page(tmp_path, clips)
    assert "://" not in text
    assert not re.search(r"<(script|link|iframe|object|embed)|\son\w+=|@import|javascript:", text)
    assert re.findall(r"url\(([^)]*)\)", text) == ["#hatch"]
    assert {address[:5] for address in re.findall(r'src="([^"]*)"', text)} == {"data:"}
    assert "default-src 'none'; img-src data:" in text


def test_a_file_that_says_endless_things_does_not_grow_the_page(tmp_path):
    clips = [
        failed(n, "A" * 100_000, file="f" * 100_000, patient_id="p" * 100_000) for n in range(20)
    ]
    assert len(page(tmp_path, clips, names=True)) < 100_000


def test_text_that_is_no_text_is_written(tmp_path):
    assert "\\udcff" in page(tmp_path, [failed(1, "a\udcffb")])


def test_a_page_that_cannot_be_written_leaves_the_former(tmp_path):
    page(tmp_path, [row(1)])
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(KeyError):
        page(tmp_path, [row(1)], {"settings": {}})
    assert (tmp_path / "report.html").read_bytes() == before
    with pytest.raises(FileNotFoundError):
        page(tmp_path / "none", [row(1)])


def archive(n, seed=3):
    random = Random(seed)
    for i in range(n):
        at = f"20{10 + i % 15}-{1 + i % 12:02d}-01"
        who = {"patient_id": f"P{i // 6}", "study_instance_uid": f"1.{i // 3}", "acquired_at": at}
        kind, mm = random.random(), random.uniform(1, 14)
        if kind < 0.03:
            yield failed(i, **who)
        elif kind < 0.4:
            yield refused(i, random.choice(["no_endometrium", "low_quality"]), 0.05, **who)
        else:
            by_hand = mm + random.gauss(0, 1.4) if kind > 0.8 else None
            yield measured(i, mm, quality=random.random() ** 0.3, sonographer_mm=by_hand, **who)


def test_ten_times_the_rows_make_no_longer_page(tmp_path):
    small, large = page(tmp_path, archive(2_000)), page(tmp_path, archive(20_000))
    assert "20,000 clips" in large
    assert "The first 150 are listed; all are in measurements.csv." in large
    assert "the 48 with the most are shown" in large
    assert len(large) < 1.2 * len(small) < 1_000_000


class Counted(dict):
    """A row that counts how many of its kind there are."""

    alive = most = 0

    def __init__(self, values):
        super().__init__(values)
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self):
        Counted.alive -= 1


def test_rows_are_not_held(tmp_path):
    page(tmp_path, map(Counted, archive(5_000)))
    assert 500 < Counted.most <= 2 * sum(group.keep for group in GROUPS)


def test_the_page_is_the_same_in_whatever_order_the_rows_come(tmp_path):
    rows = list(archive(600))
    assert page(tmp_path, rows) == page(tmp_path, Random(2).sample(rows, len(rows)))


def test_a_run_json_is_a_summary(tmp_path):
    """What `run.json` holds is what the page reads, also when it went through the file."""
    assert page(tmp_path, [row(1)], json.loads(json.dumps(SUMMARY))) == page(tmp_path, [row(1)])
