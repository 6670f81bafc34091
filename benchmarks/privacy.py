"""Does anything of an identity stay? `python -m benchmarks.privacy [--n 200] [--frames 5]`.

Makes phantoms with a made-up name in every place of header and picture (benchmarks.planted), in
every photometric interpretation and transfer syntax that can be written here, every fifth with
writing in the ultrasound image, too; de-identifies them with `--inside hold`, and looks for what
was planted: in the bytes and elements of the file, and in its pixels by matching the drawn writing
against every place of every frame (normalised correlation), which reads it in the source. Measures
the thickness before and after. With `--detector` it also draws writing of many sizes and levels
into fans and tells what share of it is found.
"""

import argparse
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import convert_color_space
from skimage.feature import match_template

from benchmarks.planted import (
    KINDS,
    Name,
    draw_texts,
    encode,
    person,
    plant_header,
    stamp_file,
    template,
    words_in,
)
from data.phantom.dicom import (
    BOX_HEIGHT,
    BOX_LEFT,
    BOX_TOP,
    BOX_WIDTH,
    MULTIFRAME,
    Phantom,
    make_phantom,
)
from imaging.clip import Clip
from imaging.deidentify.inscription import find_inscriptions
from imaging.deidentify.plan import Action, Deidentifier
from imaging.deidentify.pseudonyms import Pseudonyms
from imaging.sector import find_sector
from imaging.source import Source
from inference.clip import measure_clip
from models.bundle import load_bundle
from models.runtime import OpenVinoRuntime

BOX = np.s_[BOX_TOP : BOX_TOP + BOX_HEIGHT, BOX_LEFT : BOX_LEFT + BOX_WIDTH]
# A correlation from which writing counts as read; speckle reaches about 0.3 by chance.
READ = 0.6


@dataclass(frozen=True)
class Checked:
    """What became of one phantom."""

    kind: str
    inside: bool
    action: Action
    planted: int
    words: int
    read_before: float
    read_after: float
    constant: bool
    before_mm: float | None
    after_mm: float | None


def scan_of(number: int, frames: int, inside: bool, name: Name) -> tuple[Phantom, list, np.ndarray]:
    """Return a phantom, its frames with writing, and what was drawn as (text, size)."""
    rng = np.random.default_rng([911, number])
    phantom = make_phantom((911, number), frames=frames, renderer="physical")
    size = int(rng.integers(13, 22))
    pictures = phantom.frames.copy()
    drawn = [(text, size) for text in name.drawn]
    first, second, third = drawn
    for i in range(len(pictures)):
        # elsewhere on every frame, as a scanner's clock and a moving marker are
        places = [
            (*first, (8, 260 + 9 * i)),
            (*second, (574, 20 + 7 * i)),
            (*third, (574, 560)),
            (*second, (8 + BOX_TOP + 4 * i, BOX_LEFT + 4)),  # in the box, beside the fan
            (second[0], 13, (300, 712)),  # on the ruler
        ]
        pictures[i] = draw_texts(pictures[i], places, fill=int(rng.integers(170, 256)))
    if inside:
        sector = find_sector(phantom.frames[0][BOX])
        rows = np.flatnonzero(sector.any(1))
        row = int(rng.integers(rows[0] + 60, rows[-1] - 60))
        left = int(np.flatnonzero(sector[row])[0])
        where = (BOX_TOP + row, BOX_LEFT + left + 30)
        one = int(rng.integers(len(pictures)))
        pictures[one] = draw_texts(pictures[one], [(*first, where)])
    return phantom, drawn, pictures


def header_of(phantom: Phantom, number: int) -> Dataset:
    """Return the header of a scan, to be planted in."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.SOPClassUID, data.Modality = MULTIFRAME, "US"
    data.InstanceNumber, data.StudyTime = number, "101112"
    item = Dataset()
    item.RegionSpatialFormat = item.RegionDataType = 1
    item.RegionFlags = 2
    item.RegionLocationMinY0, item.RegionLocationMinX0 = BOX_TOP, BOX_LEFT
    item.RegionLocationMaxY1 = BOX_TOP + BOX_HEIGHT - 1
    item.RegionLocationMaxX1 = BOX_LEFT + BOX_WIDTH - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = phantom.mm_per_px / 10
    data.SequenceOfUltrasoundRegions = [item]
    return data


def grey_frames(path: Path) -> np.ndarray:
    """Return the frames as grey levels (n, rows, columns), by pydicom alone."""
    data = dcmread(path)
    pixels = data.pixel_array
    if "NumberOfFrames" not in data or data.NumberOfFrames == 1:
        pixels = pixels[None]
    if pixels.ndim == 4:
        photometric = data.PhotometricInterpretation
        if photometric == "YBR_FULL":
            pixels = np.stack([convert_color_space(one, "YBR_FULL", "RGB") for one in pixels])
        pixels = pixels[..., 1]
    return pixels


def best_match(frames: np.ndarray, drawn: list[tuple[str, int]]) -> float:
    """Return the best correlation, -1 to 1, of any drawn text with any place of any frame; of
    writing that is dark on bright (an inverted picture) as well."""
    best = 0.0
    for frame in frames:
        for text, size in drawn:
            found = np.abs(match_template(frame.astype(np.float64), template(text, size)))
            best = max(best, float(np.nan_to_num(found).max()))
    return best


def constant_outside(path: Path) -> bool:
    """Tell whether every stored pixel outside the region's box is one value, on all frames."""
    data = dcmread(path)
    pixels = data.pixel_array
    if data.get("NumberOfFrames", 1) == 1:
        pixels = pixels[None]
    outside = np.ones(pixels.shape[1:3], bool)
    outside[BOX] = False
    return bool((pixels[:, outside] == pixels[0, 0, 0]).all())


def check(number: int, frames: int, work: Path, bundle: object, runtime: object) -> Checked:
    """Make, de-identify, read and measure one phantom."""
    rng = np.random.default_rng([912, number])
    name = person(rng)
    inside = number % 5 == 4
    kind, syntax = KINDS[number % len(KINDS)]
    phantom, drawn, pictures = scan_of(number, frames if number % 2 else 1, inside, name)
    data = header_of(phantom, number)
    plant_header(data, name, rng)
    data.file_meta.SourceApplicationEntityTitle = name.words[0]
    data.file_meta.PrivateInformationCreatorUID = "1.2.999.77.1"
    data.file_meta.PrivateInformation = name.words[1].encode()
    source = work / f"{name.words[0]}-{number}.dcm"
    encode(data, pictures, kind, syntax, source)
    stamp_file(source, name)
    done = Deidentifier(Pseudonyms(b"privacy benchmark"), work / "out").process(Source(source))
    planted = len(words_in(source, name.words))
    before = best_match(grey_frames(source)[:1], drawn)
    if done.action is not Action.WRITTEN or done.name is None:
        source.unlink()
        return Checked(kind, inside, done.action, planted, 0, before, 0.0, True, None, None)
    new = work / "out" / done.name
    words = len(words_in(new, name.words))
    words += sum(word.lower() in done.name.lower() for word in name.words)
    after = best_match(grey_frames(new), drawn)
    thick = [measure_clip(path, bundle, runtime).record.best.thickness_mm for path in (source, new)]
    found = Checked(
        kind, inside, done.action, planted, words, before, after, constant_outside(new), *thick
    )
    source.unlink()
    new.unlink()
    return found


def report(found: list[Checked]) -> None:
    """Print the tables."""
    print(f"{'kind':<14} files written held  words  read before/after  constant  max |mm|")
    for kind in dict.fromkeys(one.kind for one in found):
        _line(kind, [one for one in found if one.kind == kind])
    _line("all", found)
    written = [one for one in found if one.action is Action.WRITTEN]
    outside = [one for one in found if not one.inside]
    inside = [one for one in found if one.inside]
    before = sum(one.read_before >= READ for one in found)
    after = sum(one.read_after >= READ for one in written)
    print(f"writing read in {before} of {len(found)} files before, {after} of {len(written)} after")
    print(f"planted in a header: {min(one.planted for one in found)} or more places")
    print(
        f"writing in the image: {_held(inside)} of {len(inside)} held back; "
        f"without: {_held(outside)} of {len(outside)}"
    )
    changed = [one for one in written if (one.before_mm is None) != (one.after_mm is None)]
    both = sum(one.before_mm is not None and one.after_mm is not None for one in written)
    print(f"measured before and after: {both}; measured only once: {len(changed)}")


def _held(some: list[Checked]) -> int:
    return sum(one.action is Action.HELD for one in some)


def _line(kind: str, some: list[Checked]) -> None:
    written = [one for one in some if one.action is Action.WRITTEN]
    off = [
        abs(one.before_mm - one.after_mm)
        for one in written
        if one.before_mm is not None and one.after_mm is not None
    ]
    words = sum(one.words for one in written)
    print(
        f"{kind:<14} {len(some):5} {len(written):7} {_held(some):4} {words:6} "
        f"{min(one.read_before for one in some):8.2f} / "
        f"{max((one.read_after for one in written), default=0):.2f} "
        f"{sum(one.constant for one in written):7} of {len(written)}  {max(off, default=0):8.4f}"
    )


def detector(n: int) -> None:
    """Print the share of texts that are found in a fan, by size and level, and of fans without any
    in which some is found."""
    rng = np.random.default_rng(913)
    fans = [make_phantom((914, i), renderer="physical").frames[0] for i in range(n)]
    sectors = []
    alarms = 0
    for frame in fans:
        sector = np.zeros(frame.shape, bool)
        sector[BOX] = find_sector(frame[BOX])
        sectors.append(sector)
        boxes = find_inscriptions(frame[BOX])
        alarms += any(
            sector[BOX][b.row_0 : b.row_1 + 1, b.column_0 : b.column_1 + 1].any() for b in boxes
        )
    print(f"fans without writing in which some is found: {alarms} of {n}")
    print("size (px)  " + "".join(f"level {level:<8}" for level in (120, 160, 200, 255)))
    for size in (10, 13, 16, 20, 26):
        row = f"{size:<10} "
        for level in (120, 160, 200, 255):
            hits = 0
            for frame, sector in zip(fans, sectors, strict=True):
                text = person(rng).drawn[int(rng.integers(3))]
                rows, columns = np.nonzero(sector[: -2 * size, : -size * len(text) // 2])
                at = int(rng.integers(len(rows)))
                where = (int(rows[at]), int(columns[at]))
                picture = draw_texts(frame, [(text, size, where)], fill=level)
                hits += any(
                    b.row_1 >= where[0] and b.row_0 <= where[0] + 1.3 * size
                    and b.column_1 >= where[1]
                    for b in find_inscriptions(picture)
                )  # fmt: skip
            row += f"{hits}/{n}".ljust(14)
        print(row)


def published(work: Path) -> None:
    """Print what becomes of the ultrasound files that pydicom publishes for testing."""
    spec = find_spec("data_store")
    if spec is None or spec.origin is None:
        print("published files: the package pydicom-data is not installed")
        return
    counts: dict[str, int] = {}
    for path in sorted((Path(spec.origin).parent / "data").glob("*.dcm")):
        data = dcmread(path, stop_before_pixels=True, force=True)
        if data.get("Modality") != "US":
            continue
        # each file on its own: several are the same object in other encodings
        done = Deidentifier(Pseudonyms(b"privacy benchmark"), work / "real").process(Source(path))
        words = [str(data.get(word, "")) for word in ("PatientID", "AccessionNumber")]
        words += str(data.get("PatientName", "")).replace("^", " ").split()
        words += [str(data.get(word, "")) for word in ("InstitutionName", "SOPInstanceUID")]
        words = [word for word in words if len(word) > 3]
        left = 0
        if done.name is not None and done.action is Action.WRITTEN:
            new = work / "real" / done.name
            left = len([word for word in words_in(new, tuple(words)) if "private" not in word])
            with Clip.open(new) as clip:
                for number in range(1, clip.frames + 1):
                    clip.frame(number)
        said = done.why or f"all but {done.kept:.0%} of the frame black, {left} words left"
        print(f"  {path.name:<28} {done.action}: {said}")
        counts[done.action] = counts.get(done.action, 0) + 1
    print(f"published files: {counts}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--frames", type=int, default=5, help="of every second phantom")
    parser.add_argument("--detector", type=int, metavar="N", help="fans per size and level")
    arguments = parser.parse_args()
    bundle = load_bundle()
    runtime = OpenVinoRuntime(bundle)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        found = [
            check(number, arguments.frames, work, bundle, runtime) for number in range(arguments.n)
        ]
        report(found)
        published(work)
    if arguments.detector:
        detector(arguments.detector)


if __name__ == "__main__":
    main()
