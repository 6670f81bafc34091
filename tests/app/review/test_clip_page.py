"""A clip on the page: its picture is the measured one and no other, its numbers the run's."""

import io
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from review_run import rows_of
from test_worklist import put, table_row

from app.review.rows import read_run
from imaging.clip import Clip, sha256
from imaging.source import Source


def picture(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_a_frame_is_the_box_of_the_clip_bit_by_bit_and_black_around_the_sector(seat, measured):
    person = seat().enter()
    for name in ("one.dcm", "cine.dcm"):
        clip = person.clip(name)
        top, left, bottom, right = clip["box"]
        with Clip.open(measured / "clips/a" / name) as opened:
            assert (clip["rows"], clip["columns"]) == (opened.rows, opened.columns)
            luma = opened.frame(clip["frames"]).luma[top : bottom + 1, left : right + 1]
        shown = picture(person.get(f"/frames/{clip['id']}/{clip['frames']}.png"))
        assert shown.shape == luma.shape
        same = shown == luma
        assert (shown[~same] == 0).all() and same.mean() > 0.6
        assert shown[0, 0] == 0 == shown[-1, 0], "the corners of a sector are outside of it"


def test_what_is_written_beside_the_picture_is_shown_with_identities_alone(
    run, seat, measured, tmp_path
):
    """A name burned in within the region of the file, beside the fan."""
    top, left, *_ = seat().enter().clip("one.dcm")["box"]
    data = dcmread(measured / "clips/a/one.dcm")
    pixels = data.pixel_array.copy()
    pixels[top + 4 : top + 14, left + 4 : left + 60 : 2] = 255
    data.PixelData = pixels.tobytes()
    path = tmp_path / "named.dcm"
    data.save_as(path)
    row = next(r for r in read_run(run).rows if r["file"].endswith("a/one.dcm"))
    put(run, [row | {"file": str(path), "sha256": sha256(path)}])
    found = {}
    for identity in (False, True):
        person = seat(show_identity=identity).enter()
        clip = person.clip("named.dcm")
        shown = picture(person.get(f"/frames/{clip['id']}/1.png"))
        row_0, column_0 = top + 4 - clip["box"][0], left + 4 - clip["box"][1]
        found[identity] = shown[row_0 : row_0 + 10, column_0 : column_0 + 56].max()
        small = picture(person.get(f"/thumbnails/{clip['id']}.jpg"))
        assert small.max() > 0
    assert found == {False: 0, True: 255}


def test_with_identities_all_of_the_frame_is_shown(seat, measured):
    person = seat(show_identity=True).enter()
    clip = person.clip("one.dcm")
    assert clip["box"] == [0, 0, clip["rows"] - 1, clip["columns"] - 1]
    with Clip.open(measured / "clips/a/one.dcm") as opened:
        luma = opened.frame(1).luma
    assert (picture(person.get(f"/frames/{clip['id']}/1.png")) == luma).all()


def test_frames_are_kept_by_the_browser_and_by_nobody_else(seat):
    person = seat().enter()
    clip = person.clip("cine.dcm")
    first = person.get(f"/frames/{clip['id']}/1.png")
    assert first.headers["cache-control"] == "private, max-age=3600, immutable"
    assert first.headers["content-type"] == "image/png"
    tags = {person.get(f"/frames/{clip['id']}/{n}.png").headers["etag"] for n in range(1, 5)}
    assert len(tags) == 4
    again = person.client.get(
        f"/frames/{clip['id']}/1.png", headers={"If-None-Match": first.headers["etag"]}
    )
    assert again.status_code == 304 and not again.content
    for number in (0, 5, 10**6 + 1):
        assert person.get(f"/frames/{clip['id']}/{number}.png").status_code in (404, 422)


def test_pictures_in_memory_are_bounded_by_bytes(seat):
    person = seat(frame_cache_bytes=100_000).enter()
    clip = person.clip("cine.dcm")
    for number in (1, 2, 3, 4, 1):
        picture(person.get(f"/frames/{clip['id']}/{number}.png"))
    pictures = person.desk.pictures
    assert pictures._bytes == sum(map(len, pictures._frames.values())) <= 100_000


def test_measure_here_is_what_the_run_found(seat, run):
    person = seat().enter()
    for row in rows_of(run / "measurements.csv"):
        if row["status"] != "measured" or row["duplicate_of"]:
            continue
        clip = person.clip(row["file"])
        found = person.json(f"/api/clip/{clip['id']}/frame/{row['frame']}")
        assert found["thickness_mm"] == pytest.approx(float(row["thickness_mm"]), abs=1e-9)
        assert (found["call"], found["status"]) == (row["call"], "measured")
        assert found["spacing"] == [float(row["row_mm"]), float(row["column_mm"])]
        assert found["calipers"] == clip["measurement"]["calipers"]
        outline = np.array(found["contours"][0])
        for end in found["calipers"]:
            assert np.hypot(*(outline - end).T).min() < 2.0
    strip = person.clip("cine.dcm")["per_frame"]
    cine = person.clip("cine.dcm")
    assert [f["frame"] for f in strip] == [1, 2, 3, 4]
    for frame in strip:
        here = person.json(f"/api/clip/{cine['id']}/frame/{frame['frame']}")
        assert here["thickness_mm"] == pytest.approx(frame["thickness_mm"], abs=1e-9)


def test_a_refused_clip_says_so_where_it_is_measured_again(seat):
    person = seat().enter()
    clip = person.clip("nothing.dcm")
    found = person.json(f"/api/clip/{clip['id']}/frame/1")
    assert (found["status"], found["reason"]) == ("not_measurable", "no_endometrium")
    assert found["thickness_mm"] is None and found["contours"] == []


def test_another_bundle_measures_nothing_here(run, seat):
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace(read_run(run).summary["bundle"]["sha256"], "0" * 64))
    person = seat().enter()
    clip = person.clip("one.dcm")
    answer = person.get(f"/api/clip/{clip['id']}/frame/1")
    assert answer.status_code == 409 and "--bundle" in answer.json()["error"]


def test_a_clip_without_a_scale_is_shown_without_one(seat):
    clip = seat().enter().clip("unscaled.dcm")
    assert clip["row_mm"] is None and clip["calibration_words"].startswith("no safe scale")
    assert clip["box"] and clip["problem"] is None


def test_a_broken_file_is_told_and_has_no_picture(seat):
    person = seat().enter()
    clip = person.clip("broken.dcm")
    assert "could not be read" in clip["problem"] and clip["box"] is None
    assert person.get(f"/frames/{clip['id']}/1.png").status_code == 404
    assert person.get(f"/thumbnails/{clip['id']}.jpg").status_code == 404
    assert person.get(f"/api/clip/{clip['id']}/frame/1").status_code == 404


def test_a_file_that_changed_is_not_shown_beside_the_old_number(run, seat, measured, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(measured / "clips", copy)
    rows = read_run(run).rows
    put(run, [r | {"file": str(copy / r["file"].split("/clips/")[1])} for r in rows])
    person = seat().enter()
    clip = person.clip("a/two.dcm")
    assert clip["problem"] is None
    picture(person.get(f"/frames/{clip['id']}/1.png"))
    shutil.copy(copy / "a/one.dcm", copy / "a/two.dcm")
    clip = person.clip("a/two.dcm")
    assert "not the one that was measured" in clip["problem"]
    (copy / "a/two.dcm").unlink()
    assert "--archive" in person.clip("a/two.dcm")["problem"]


def test_a_moved_archive_is_found_and_checked(run, seat, measured, tmp_path):
    put(run, [r | {"file": f"/gone/{r['file'].split('/clips/')[1]}"} for r in read_run(run).rows])
    assert "--archive" in seat().enter().clip("a/one.dcm")["problem"]
    moved = tmp_path / "moved"
    shutil.copytree(measured / "clips", moved / "clips")
    for folder in (moved / "clips", moved / "clips" / "a"):
        assert seat(archive=folder).enter().clip("a/one.dcm")["problem"] is None
    # Of two files of that name the one that was measured is taken.
    (moved / "clips/a/one.dcm").replace(moved / "clips/one.dcm")
    shutil.copy(moved / "clips/a/two.dcm", moved / "clips/a/one.dcm")
    assert seat(archive=moved / "clips").enter().clip("a/one.dcm")["problem"] is None


def test_names_in_the_table_lead_to_nothing_else(run, seat, tmp_path):
    """A table from elsewhere may name any file; what it does not know by content is not shown."""
    (tmp_path / "private.png").write_bytes(b"\x89PNG\r\n\x1a\n private")
    names = ["/etc/passwd", "../private.png", str(tmp_path / "private.png"), "a\0b", "x" * 5000]
    put(run, [table_row(n, file=name) for n, name in enumerate(names)])
    person = seat(archive=tmp_path).enter()
    for item in person.items():
        clip = person.json(f"/api/clip/{item['id']}")
        assert clip["problem"] and clip["box"] is None
        assert person.get(f"/frames/{item['id']}/1.png").status_code == 404


def test_a_clip_in_a_zip_is_read_in_place(run, seat, measured, tmp_path):
    archive = tmp_path / "clips.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(measured / "clips/a/cine.dcm", "deep/cine.dcm")
    member = f"{archive}/deep/cine.dcm"
    cine = next(r for r in read_run(run).rows if r["file"].endswith("cine.dcm"))
    put(run, [cine | {"file": member, "sha256": sha256(Source.at(member))}])
    person = seat().enter()
    clip = person.clip("cine.dcm")
    assert clip["problem"] is None and clip["frames"] == 4
    picture(person.get(f"/frames/{clip['id']}/4.png"))


def test_thumbnails_are_made_once_and_kept_under_neutral_names(seat, run):
    person = seat().enter()
    for item in person.items():
        if item["status"] == "failed":
            continue
        answer = person.get(f"/thumbnails/{item['id']}.jpg")
        assert picture(answer).shape[2] == 3 and answer.headers["content-type"] == "image/jpeg"
    kept = sorted(path.name for path in (run / ".review/thumbnails").iterdir())
    assert len(kept) == 6 and all(len(name.split("-")[0]) == 16 for name in kept)
    assert (run / ".review/thumbnails").stat().st_mode & 0o077 == 0
    known = run / ".review/thumbnails" / kept[0]
    known.write_bytes(b"kept")
    key = kept[0].split("-")[0]
    assert person.get(f"/thumbnails/{key}.jpg").content == b"kept"


def test_with_identities_no_thumbnail_of_the_whole_picture_stays_on_disk(seat, run):
    person = seat(show_identity=True).enter()
    clip = person.clip("nothing.dcm")
    assert person.get(f"/thumbnails/{clip['id']}.jpg").status_code == 200
    assert not list(run.glob(".review/thumbnails/*"))


def test_an_overlay_in_the_table_leads_to_no_other_folder(seat, run, tmp_path):
    Image.new("RGB", (800, 600)).save(tmp_path / "secret.png")
    rows = read_run(run).rows
    put(run, [r | {"overlay": "../../secret.png"} for r in rows if r["file"].endswith("one.dcm")])
    person = seat().enter()
    shown = picture(person.get(f"/thumbnails/{person.clip('one.dcm')['id']}.jpg"))
    assert shown.max() > 60, "the clip itself, not the black picture elsewhere"


def test_the_trend_holds_what_people_said(seat):
    person = seat().enter()
    one, two = person.clip("a/one.dcm"), person.clip("a/two.dcm")
    assert [t["id"] for t in one["trend"]] == [one["id"], two["id"]]
    assert [t["here"] for t in one["trend"]] == [True, False]
    line = [[100.0, 100.0], [100.0, 130.0]]
    assert person.review(two, "correct", frame=1, calipers=line).status_code == 201
    later = person.clip("a/one.dcm")["trend"][1]
    assert later["reviewed"] and later["thickness_mm"] == pytest.approx(30 * two["column_mm"])
    assert later["lower_mm"] is None, "a person states no interval"


def test_the_next_clips_are_made_ready(seat):
    person = seat(prefetch=True).enter()
    order = [i["id"] for i in person.items()]
    person.json(f"/api/clip/{order[0]}")
    assert person.desk.prefetcher.wait()
    frames, results = person.desk.pictures._frames, person.desk.measurer._results
    ready = {key for key, _ in frames}
    assert set(order[:3]) <= ready and set(order[:3]) <= {key for key, _ in results}
    assert order[-1] not in ready


def test_colour_in_a_clip_is_shown_in_colour(run, seat, tmp_path):
    from dicom_factory import colour_header, region, speckle, with_doppler, write

    rgb = np.kron(with_doppler(speckle(96, 128)), np.ones((4, 4, 1))).astype(np.uint8)
    box = region((0, 0, rgb.shape[0] - 1, rgb.shape[1] - 1))
    data = colour_header(*rgb.shape[:2], "RGB", SequenceOfUltrasoundRegions=[box])
    path = write(tmp_path / "doppler.dcm", data, rgb.tobytes())
    put(run, [table_row(1, file=str(path), sha256=sha256(path))])
    person = seat().enter()
    clip = person.clip("doppler.dcm")
    assert clip["problem"] is None, clip["problem"]
    shown = picture(person.get(f"/frames/{clip['id']}/1.png")).astype(int)
    top, left = clip["box"][:2]
    red = shown[64 - top + 20, 64 - left + 20]
    assert red[0] > red[1] + 100
