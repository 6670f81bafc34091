"""Clips: every format by the same road, one frame at a time, and no lie believed."""

import hashlib
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import data_store
import dicom_factory as make
import numpy as np
import pytest
from dicom_factory import header, speckle, to_ybr, with_doppler
from PIL import Image
from pydicom import Dataset, config, dcmread
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from imaging import decoding
from imaging.clip import Clip, ClipError, Frame, sha256
from imaging.fragments import MAX_FRAGMENTS

ROWS, COLUMNS = 48, 64
GREY = speckle()
RGB = with_doppler(GREY)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom", "ignore::UserWarning:PIL")
PUBLISHED = Path(data_store.__file__).parent / "data"


def luma_of(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(float) @ [0.299, 0.587, 0.114]


def read(path: Path, number: int = 1) -> Frame:
    with Clip.open(path) as clip:
        return clip.frame(number)


def error_of(path: Path | str, number: int | None = None) -> str:
    """The message of opening, or if that must succeed, of decoding frame `number`."""
    with pytest.raises(ClipError) as caught:
        if number is None:
            with Clip.open(path):
                pass
        else:
            clip = Clip.open(path)
            clip.frame(number)
    message = str(caught.value)
    assert "SECRET" not in message
    assert len(message) > 20
    return message


class TestTransferSyntaxes:
    @pytest.mark.parametrize(
        "syntax",
        [
            ImplicitVRLittleEndian,
            ExplicitVRLittleEndian,
            ExplicitVRBigEndian,
            DeflatedExplicitVRLittleEndian,
        ],
    )
    @pytest.mark.parametrize("frames", [1, 3])
    def test_native(self, tmp_path: Path, syntax: str, frames: int) -> None:
        cine = np.stack([speckle(seed=number) for number in range(frames)])
        data = header(ROWS, COLUMNS, NumberOfFrames=frames)
        with Clip.open(make.write(tmp_path / "a.dcm", data, cine.tobytes(), syntax)) as clip:
            assert (clip.rows, clip.columns, clip.frames) == (ROWS, COLUMNS, frames)
            assert clip.transfer_syntax == syntax.name
            assert (np.stack([frame.luma for frame in clip]) == cine).all()
            assert [frame.number for frame in clip] == list(range(1, frames + 1))

    def test_big_endian_words_of_8_bits(self, tmp_path: Path) -> None:
        odd = speckle(5, 7), speckle(5, 7, seed=1)
        pixels = b"".join(frame.tobytes() for frame in odd)
        words = np.frombuffer(pixels, "<u2").astype(">u2").tobytes()
        data = header(5, 7, NumberOfFrames=2)
        data.add_new("PixelData", "OW", words)
        path = make.write(tmp_path / "a.dcm", data, None, ExplicitVRBigEndian)
        with Clip.open(path) as clip:
            assert all((clip.frame(n + 1).luma == odd[n]).all() for n in (0, 1))

    @pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEGLosslessSV1])
    @pytest.mark.parametrize("colour", [False, True])
    def test_lossless(self, tmp_path: Path, syntax: str, colour: bool) -> None:
        if colour:
            data = make.colour_header(ROWS, COLUMNS, "RGB")
            found = read(make.compressed(tmp_path / "a.dcm", data, RGB, syntax))
            assert np.abs(found.luma - luma_of(RGB)).max() <= 1.1
            assert found.colour.sum() == 16 * 16
        else:
            found = read(make.compressed(tmp_path / "a.dcm", header(ROWS, COLUMNS), GREY, syntax))
            assert (found.luma == GREY).all()
            assert not found.colour.any()

    @pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEG2000])
    @pytest.mark.parametrize("colour", [False, True])
    def test_jpeg_2000(self, tmp_path: Path, syntax: str, colour: bool) -> None:
        lossless = syntax == JPEG2000Lossless
        stream = make.jpeg_2000(RGB if colour else GREY, lossless)
        data = header(ROWS, COLUMNS)
        if colour:
            kind = "YBR_RCT" if lossless else "YBR_ICT"
            data = make.colour_header(ROWS, COLUMNS, kind)
        found = read(make.write(tmp_path / "a.dcm", data, make.encapsulate([[stream]]), syntax))
        expected = luma_of(RGB) if colour else GREY.astype(float)
        assert np.abs(found.luma - expected).max() <= (1.1 if lossless else 6)
        assert found.colour.any() == colour

    def test_jpeg_baseline(self, tmp_path: Path) -> None:
        data = make.colour_header(ROWS, COLUMNS, "YBR_FULL_422")
        path = tmp_path / "a.dcm"
        make.write(path, data, make.encapsulate([[make.jpeg(RGB)]]), JPEGBaseline8Bit)
        found = read(path)
        away = np.abs(found.luma - luma_of(RGB))
        assert away.mean() < 2
        assert found.colour[17:31, 17:31].all()
        assert not found.colour[:14].any()

    def test_bare_data_set_without_preamble(self, tmp_path: Path) -> None:
        path = make.write_bare(tmp_path / "bare", header(ROWS, COLUMNS), GREY.tobytes())
        assert (read(path).luma == GREY).all()
        with Clip.open(path) as clip:
            assert clip.transfer_syntax == "Implicit VR Little Endian"

    @pytest.mark.parametrize(
        ("uid", "name"),
        [
            ("1.2.840.10008.1.2.4.110", "JPEG XL Lossless"),
            ("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression"),
            ("1.2.840.10008.1.2.4.112", "JPEG XL"),
            ("1.2.840.10008.1.2.4.102", "MPEG-4"),
            ("1.2.3.4", "1.2.3.4"),
        ],
    )
    def test_what_cannot_be_decoded_is_named(self, tmp_path: Path, uid: str, name: str) -> None:
        good = make.jpeg_cine(tmp_path / "a.dcm", 1).read_bytes()
        old, new = JPEGBaseline8Bit.encode(), uid.encode()
        path = tmp_path / "b.dcm"
        path.write_bytes(good.replace(_element(b"UI", old), _element(b"UI", new)))
        if len(old) + len(old) % 2 != len(new) + len(new) % 2:
            _fix_meta_length(path)
        message = error_of(path)
        assert name in message
        assert uid in message

    def test_a_missing_decoder_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make.jpeg_cine(tmp_path / "a.dcm", 1)
        decoder = decoding.get_decoder(JPEGBaseline8Bit)
        monkeypatch.setattr(decoder, "_available", {})
        monkeypatch.setattr(decoder, "_unavailable", {"pillow": ("pillow>=10.0",)})
        message = error_of(path)
        assert "JPEG Baseline" in message
        assert "pillow - requires pillow>=10.0" in message

    def test_every_decoder_tried_is_named_with_its_cause(self, tmp_path: Path) -> None:
        data = header(ROWS, COLUMNS, BitsAllocated=16, BitsStored=12, HighBit=11)
        stream = make.jpeg(GREY)
        path = make.write(tmp_path / "a.dcm", data, make.encapsulate([[stream]]), JPEGExtended12Bit)
        message = error_of(path, 1)
        for part in ("JPEG Extended", "pillow: ", "12-bit", "pylibjpeg - requires"):
            assert part in message


def _element(vr: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return vr + struct.pack("<H", len(value)) + value


def _fix_meta_length(path: Path) -> None:
    """Without its group length the meta information is read to its end all the same."""
    content = path.read_bytes()
    path.write_bytes(content[:132] + content[144:])


class TestPhotometric:
    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    @pytest.mark.parametrize(("bits", "signed"), [(8, 0), (8, 1), (12, 0), (12, 1), (16, 0)])
    def test_grey(self, tmp_path: Path, photometric: str, bits: int, signed: int) -> None:
        allocated = 8 if bits == 8 else 16
        stored = GREY.astype(np.int32) << (bits - 8)
        stored -= signed << (bits - 1)
        pixels = stored.astype(f"<{'i' if signed else 'u'}{allocated // 8}").tobytes()
        data = header(
            ROWS,
            COLUMNS,
            PhotometricInterpretation=photometric,
            BitsAllocated=allocated,
            BitsStored=bits,
            HighBit=bits - 1,
            PixelRepresentation=signed,
        )
        found = read(make.write(tmp_path / "a.dcm", data, pixels))
        assert (found.luma == (GREY if photometric == "MONOCHROME2" else 255 - GREY)).all()

    @pytest.mark.parametrize("planar", [0, 1])
    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
    @pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
    def test_colour(self, tmp_path: Path, planar: int, syntax: str, photometric: str) -> None:
        samples = RGB if photometric == "RGB" else to_ybr(RGB)
        pixels = (samples.transpose(2, 0, 1) if planar else samples).tobytes()
        data = make.colour_header(ROWS, COLUMNS, photometric, PlanarConfiguration=planar)
        found = read(make.write(tmp_path / "a.dcm", data, pixels, syntax))
        assert np.abs(found.luma - luma_of(RGB)).max() <= 1.1
        assert found.colour.sum() == 16 * 16
        assert (found.graphics == found.colour).all()
        assert found.luma.dtype == np.uint8
        assert found.colour.dtype == np.bool_

    def test_native_ybr_full_422(self, tmp_path: Path) -> None:
        ybr = to_ybr(RGB)
        packed = np.empty((ROWS, COLUMNS // 2, 4), dtype=np.uint8)
        packed[..., :2] = ybr[..., 0].reshape(ROWS, -1, 2)
        packed[..., 2:] = ybr[:, ::2, 1:]
        data = make.colour_header(ROWS, COLUMNS, "YBR_FULL_422", NumberOfFrames=2)
        path = make.write(tmp_path / "a.dcm", data, packed.tobytes() * 2)
        assert (read(path, 2).luma == ybr[..., 0]).all()

    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("entry_bits", [8, 16])
    def test_palette(self, tmp_path: Path, syntax: str, bits: int, entry_bits: int) -> None:
        first, entries = 3, 200
        random = np.random.default_rng(2)
        table = random.integers(0, 256, (entries, 3))
        stored = random.integers(0, entries + first + 10, (ROWS, COLUMNS))
        data = header(
            ROWS,
            COLUMNS,
            PhotometricInterpretation="PALETTE COLOR",
            BitsAllocated=bits,
            BitsStored=bits,
            HighBit=bits - 1,
        )
        little = syntax != ExplicitVRBigEndian
        order = "<" if little else ">"
        for index, colour in enumerate(("Red", "Green", "Blue")):
            values = table[:, index]
            if entry_bits == 16:
                lut = (values * 257).astype(f"{order}u2").tobytes()
            else:  # two entries to a word
                lut = values.astype(np.uint8).view("<u2").astype(f"{order}u2").tobytes()
            name = f"{colour}PaletteColorLookupTable"
            data.add_new(f"{name}Descriptor", "US", [entries, first, entry_bits])
            data.add_new(f"{name}Data", "OW", lut)
        pixels = stored.astype(f"{order}u{bits // 8}")
        path = tmp_path / "a.dcm"
        if syntax == RLELossless:
            make.compressed(path, data, pixels, RLELossless)
        else:
            make.write(path, data, pixels.tobytes(), syntax)
        expected = luma_of(table[np.clip(stored - first, 0, entries - 1)])
        assert np.abs(read(path).luma - expected).max() <= 1.1

    def test_a_palette_that_is_missing_or_short(self, tmp_path: Path) -> None:
        data = header(ROWS, COLUMNS, PhotometricInterpretation="PALETTE COLOR")
        assert "colour table" in error_of(make.write(tmp_path / "a.dcm", data, GREY.tobytes()))
        for colour in ("Red", "Green", "Blue"):
            name = f"{colour}PaletteColorLookupTable"
            data.add_new(f"{name}Descriptor", "US", [256, 0, 16])
            data.add_new(f"{name}Data", "OW", b"\1\2" * 99)
        assert "colour table" in error_of(make.write(tmp_path / "b.dcm", data, GREY.tobytes()))

    def test_rgb_that_is_really_ybr_and_the_reverse(self, tmp_path: Path) -> None:
        for tag, samples in (("RGB", to_ybr(RGB)), ("YBR_FULL", RGB)):
            data = make.colour_header(ROWS, COLUMNS, tag)
            found = read(make.write(tmp_path / "a.dcm", data, samples.tobytes()))
            assert np.abs(found.luma - luma_of(RGB)).max() <= 1.1, tag
            assert found.colour.sum() == 16 * 16

    def test_jpeg_whose_tag_is_wrong(self, tmp_path: Path) -> None:
        """Tagged RGB, but JFIF says YCbCr; tagged RGB without marker, but the samples say it."""
        streams = [make.jpeg(RGB), make.jpeg_without_jfif(to_ybr(RGB))]
        data = make.colour_header(ROWS, COLUMNS, "RGB", NumberOfFrames=2)
        path = tmp_path / "a.dcm"
        make.write(path, data, make.encapsulate([[s] for s in streams]), JPEGBaseline8Bit)
        for number in (1, 2):
            found = read(path, number)
            assert np.abs(found.luma - luma_of(RGB)).mean() < 2, number
            assert not found.colour[:14].any()

    @pytest.mark.parametrize("tag", ["RGB", "YBR_FULL_422"])
    def test_jpeg_with_adobes_marker(self, tmp_path: Path, tag: str) -> None:
        """Pillow turns these into RGB, whatever is asked of it and whatever the tag says."""
        stream = make.jpeg(RGB)
        marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"
        length = struct.unpack(">H", stream[4:6])[0]
        stream = stream[:2] + marker + stream[4 + length :]
        data = make.colour_header(ROWS, COLUMNS, tag)
        path = make.write(tmp_path / "a.dcm", data, make.encapsulate([[stream]]), JPEGBaseline8Bit)
        found = read(path)
        assert np.abs(found.luma - luma_of(RGB)).mean() < 2
        assert found.colour[17:31, 17:31].all()


class CountingFile(FileIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(-1 if size is None else size)
        type(self).count += len(found)
        return found

    def readinto(self, buffer: Any, /) -> int:
        found = super().readinto(buffer)
        type(self).count += found
        return found


TABLES: dict[str, Callable[[list[int]], list[int]] | None] = {"with": list, "without": None}


class TestLazy:
    @pytest.mark.parametrize("table", TABLES)
    def test_one_frame_reads_neither_decodes_the_others(
        self, tmp_path: Path, table: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make.jpeg_cine(tmp_path / "a.dcm", 100, rows=96, columns=128, table=TABLES[table])
        decoded = []
        whole = decoding.DicomPixels._compressed
        monkeypatch.setattr(
            decoding.DicomPixels,
            "_compressed",
            lambda self, number: decoded.append(number) or whole(self, number),
        )
        CountingFile.count = 0
        with CountingFile(path) as file:
            clip = Clip.open(file)
            found = clip.frame(60)
            assert CountingFile.count < 0.04 * path.stat().st_size
            clip.close()
            assert not file.closed  # it is the caller's
        assert decoded == [60]
        away = np.abs(found.luma.astype(int) - speckle(96, 128, seed=60))
        assert away.mean() < 2

    def test_one_native_frame(self, tmp_path: Path) -> None:
        cine = np.stack([speckle(seed=number) for number in range(200)])
        data = header(ROWS, COLUMNS, NumberOfFrames=200)
        path = make.write(tmp_path / "a.dcm", data, cine.tobytes())
        CountingFile.count = 0
        with CountingFile(path) as file:
            assert (Clip.open(file).frame(150).luma == cine[149]).all()
        assert CountingFile.count < 0.02 * path.stat().st_size

    def test_the_fragments_are_walked_once(self, tmp_path: Path) -> None:
        path = make.jpeg_cine(tmp_path / "a.dcm", 300, rows=16, columns=16)
        size = path.stat().st_size
        CountingFile.count = 0
        with CountingFile(path) as file:
            for _ in Clip.open(file):
                pass
        assert CountingFile.count < 1.2 * size

    def test_extended_offset_table(self, tmp_path: Path) -> None:
        streams = [make.jpeg(speckle(seed=n)) for n in range(3)]
        padded = [len(s) + len(s) % 2 for s in streams]
        offsets = [sum(padded[:n]) + 8 * n for n in range(3)]
        data = header(ROWS, COLUMNS, NumberOfFrames=3)
        data.ExtendedOffsetTable = struct.pack("<3Q", *offsets)
        data.ExtendedOffsetTableLengths = struct.pack("<3Q", *map(len, streams))
        pixels = make.encapsulate([[s] for s in streams])
        path = make.write(tmp_path / "a.dcm", data, pixels, JPEGBaseline8Bit)
        assert np.abs(read(path, 3).luma.astype(int) - speckle(seed=2)).mean() < 2
        data.NumberOfFrames = 2
        make.write(path, data, pixels, JPEGBaseline8Bit)
        assert "NumberOfFrames is 2, but the offset table lists 3" in error_of(path)

    @pytest.mark.parametrize("table", TABLES)
    def test_frames_in_several_fragments(self, tmp_path: Path, table: str) -> None:
        streams = [make.jpeg(speckle(seed=n)) for n in range(3)]
        pieces = [[s[:200], s[200:300], s[300:]] for s in streams]
        pixels = make.encapsulate(pieces, table=TABLES[table])
        data = header(ROWS, COLUMNS, NumberOfFrames=3)
        path = make.write(tmp_path / "a.dcm", data, pixels, JPEGBaseline8Bit)
        for n in range(3):
            assert np.abs(read(path, n + 1).luma.astype(int) - speckle(seed=n)).mean() < 2

    def test_one_frame_in_several_fragments(self, tmp_path: Path) -> None:
        stream = make.jpeg(GREY)
        pixels = make.encapsulate([[stream[:200], stream[200:]]])
        path = make.write(tmp_path / "a.dcm", header(ROWS, COLUMNS), pixels, JPEGBaseline8Bit)
        assert np.abs(read(path).luma.astype(int) - GREY).mean() < 2

    def test_random_access_equals_sequence(self, tmp_path: Path) -> None:
        with Clip.open(make.jpeg_cine(tmp_path / "a.dcm", 5)) as clip:
            assert len(clip) == 5
            inorder = [frame.luma for frame in clip]
            for number in (5, 1, 3, 3):
                assert (clip.frame(number).luma == inorder[number - 1]).all()
            for number in (0, -1, 6):
                with pytest.raises(ClipError, match="1 to 5"):
                    clip.frame(number)


class TestNoImage:
    def test_files_that_are_none(self, tmp_path: Path) -> None:
        path = tmp_path / "SECRET.dcm"
        path.write_bytes(b"")
        assert "0 bytes" in error_of(path)
        path.write_text("Patient: SECRET, born in 1980.\n" * 20)
        assert "no DICOM and no PNG, JPEG or TIFF" in error_of(path)
        path.write_bytes(bytes(500))
        assert "no DICOM" in error_of(path)
        assert "directory" in error_of(tmp_path)
        assert "No such file" in error_of(tmp_path / "SECRET")
        assert error_of("a\0b")
        assert "No such file" in _message(lambda: sha256(tmp_path / "missing"))

    def test_a_report_is_named(self, tmp_path: Path) -> None:
        report = Dataset()
        report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
        report.SOPInstanceUID = "1.2.3"
        report.PatientName = make.SECRET_NAME
        message = error_of(make.write(tmp_path / "a.dcm", report, None))
        assert "Basic Text SR" in message
        assert "no pixel data" in message

    @pytest.mark.parametrize("start", [b"\x08\x00", b"\x02\x00", b"\x00\x08"])
    def test_noise_that_starts_like_dicom(self, tmp_path: Path, start: bytes) -> None:
        for seed in range(40):
            noise = np.random.default_rng(seed).bytes(700)
            path = tmp_path / "a.dcm"
            path.write_bytes(start + noise)
            error_of(path)
            path.write_bytes(noise[:128] + b"DICM" + start + noise)
            error_of(path)

    def test_a_file_cut_anywhere(self, tmp_path: Path) -> None:
        for whole in (
            make.jpeg_cine(tmp_path / "a.dcm", 3).read_bytes(),
            make.write(tmp_path / "a.dcm", header(ROWS, COLUMNS), GREY.tobytes()).read_bytes(),
            make.write(
                tmp_path / "a.dcm",
                header(ROWS, COLUMNS),
                GREY.tobytes(),
                DeflatedExplicitVRLittleEndian,
            ).read_bytes(),
        ):
            # the delimiter of the fragments (8 bytes) may be missing: nothing of the image is
            for length in [*range(1, len(whole) - 8, 97), len(whole) - 9]:
                (tmp_path / "b.dcm").write_bytes(whole[:length])
                error_of(tmp_path / "b.dcm")

    def test_a_header_nested_to_death(self, tmp_path: Path) -> None:
        deep = struct.pack("<HH2sHL", 0x0018, 0x6011, b"SQ", 0, 0xFFFFFFFF)
        deep += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
        good = make.write(tmp_path / "a.dcm", header(ROWS, COLUMNS), GREY.tobytes())
        content = good.read_bytes()
        at = content.index(struct.pack("<HH2s", 0x0020, 0x000D, b"UI"))
        good.write_bytes(content[:at] + deep * 3000 + content[at:])
        assert "cannot be parsed" in error_of(good)

    def test_no_warning_tells_a_name(self, tmp_path: Path) -> None:
        data = header(ROWS, COLUMNS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data.add_new("StudyDate", "DA", "SECRET")
            path = make.write(tmp_path / "a.dcm", data, GREY.tobytes())
        with warnings.catch_warnings(record=True) as heard:
            warnings.filterwarnings("default")
            warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
            with Clip.open(path) as clip:
                assert clip.identity.acquired_at is None
        assert not [w for w in heard if "SECRET" in str(w.message)]


def _message(call: Callable[[], object]) -> str:
    with pytest.raises(ClipError) as caught:
        call()
    return str(caught.value)


class TestLies:
    @pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "SamplesPerPixel"])
    @pytest.mark.parametrize("value", [None, 0])
    def test_missing_or_zero(self, tmp_path: Path, keyword: str, value: int | None) -> None:
        data = header(ROWS, COLUMNS)
        setattr(data, keyword, value)
        if value is None:
            delattr(data, keyword)
        data.add_new("PixelData", "OB", GREY.tobytes())
        assert keyword in error_of(make.write(tmp_path / "a.dcm", data, None))

    @pytest.mark.parametrize(
        "lie",
        [
            {"Rows": ROWS - 1},
            {"Rows": ROWS + 1},
            {"Columns": COLUMNS - 1},
            {"Columns": COLUMNS + 1},
            {"NumberOfFrames": 1},
            {"NumberOfFrames": 3},
            {"NumberOfFrames": 1000},
            {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15},
            {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0},
        ],
    )
    def test_native_length(self, tmp_path: Path, lie: dict[str, Any]) -> None:
        data = header(ROWS, COLUMNS, **{"NumberOfFrames": 2, **lie})
        message = error_of(make.write(tmp_path / "a.dcm", data, GREY.tobytes() * 2))
        assert "contradict" in message
        assert f"{ROWS * COLUMNS * 2:,}" in message
        assert "enough for" in message

    def test_little_padding_is_none(self, tmp_path: Path) -> None:
        for padding, fine in ((1, True), (2, True), (46, True), (48, False), (GREY.size, False)):
            path = make.write(
                tmp_path / "a.dcm", header(ROWS, COLUMNS), GREY.tobytes() + b"\0" * padding
            )
            if fine:
                assert (read(path).luma == GREY).all()
            else:
                assert "contradict" in error_of(path)

    @pytest.mark.parametrize("value", ["0", "-3", "many"])
    def test_no_number_of_frames(self, tmp_path: Path, value: str) -> None:
        data = header(ROWS, COLUMNS)
        data.add_new("NumberOfFrames", "LO", value)
        path = make.write(tmp_path / "a.dcm", data, GREY.tobytes())
        assert "NumberOfFrames" in error_of(path)

    @pytest.mark.parametrize("frames", [1, 2, 4, 6, 100, 2**31 - 1])
    def test_number_of_compressed_frames(self, tmp_path: Path, frames: int) -> None:
        streams = [[make.jpeg(speckle(seed=n))] for n in range(5)]
        data = header(ROWS, COLUMNS, NumberOfFrames=frames)
        for table in TABLES.values():
            path = make.write(
                tmp_path / "a.dcm", data, make.encapsulate(streams, table=table), JPEGBaseline8Bit
            )
            assert f"NumberOfFrames is {frames}" in error_of(path)

    def test_an_rle_frame_is_one_fragment(self, tmp_path: Path) -> None:
        path = make.compressed(tmp_path / "a.dcm", header(ROWS, COLUMNS), GREY, RLELossless)
        data = dcmread(path)
        data.PixelData += data.PixelData[12:]  # its fragment again, without the offset table
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
        message = error_of(path)
        assert "NumberOfFrames is 1" in message

    def test_an_offset_table_that_points_nowhere(self, tmp_path: Path) -> None:
        streams = [make.jpeg(speckle(seed=n)) for n in range(3)]
        pieces = [[s[:200], s[200:]] for s in streams]
        pixels = make.encapsulate(pieces, table=lambda offsets: [o + 2 for o in offsets])
        data = header(ROWS, COLUMNS, NumberOfFrames=3)
        path = make.write(tmp_path / "a.dcm", data, pixels, JPEGBaseline8Bit)
        assert "offset table" in error_of(path)

    def test_the_missing_delimiter_is_no_loss(self, tmp_path: Path) -> None:
        path = make.jpeg_cine(tmp_path / "a.dcm", 2)
        content = path.read_bytes()
        assert content.endswith(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))
        path.write_bytes(content[:-8])
        assert read(path, 2).number == 2

    @pytest.mark.parametrize(
        ("syntax", "encode"),
        [
            (JPEGBaseline8Bit, make.jpeg),
            (JPEG2000Lossless, make.jpeg_2000),
        ],
    )
    def test_a_code_stream_of_another_shape(
        self, tmp_path: Path, syntax: str, encode: Callable[[np.ndarray], bytes]
    ) -> None:
        turned = make.encapsulate([[encode(np.ascontiguousarray(GREY.T))]])
        path = make.write(tmp_path / "a.dcm", header(ROWS, COLUMNS), turned, syntax)
        message = error_of(path, 1)
        assert "48 rows x 64 columns" in message
        assert "64 x 48" in message

    def test_a_jpeg_ls_stream_of_another_shape(self, tmp_path: Path) -> None:
        path = make.compressed(tmp_path / "a.dcm", header(ROWS, COLUMNS), GREY, JPEGLSLossless)
        data = dcmread(path)
        data.Rows, data.Columns = COLUMNS, ROWS
        data.save_as(path)
        assert "contradict" in error_of(path, 1)

    def test_a_code_stream_cut_off_inside_a_whole_file(self, tmp_path: Path) -> None:
        for syntax, stream in (
            (JPEGBaseline8Bit, make.jpeg(GREY)),
            (JPEG2000Lossless, make.jpeg_2000(GREY)),
        ):
            pixels = make.encapsulate([[stream[: len(stream) * 2 // 3]]])
            path = make.write(tmp_path / "a.dcm", header(ROWS, COLUMNS), pixels, syntax)
            assert "cut off" in error_of(path, 1)

    def test_what_is_no_code_stream(self, tmp_path: Path) -> None:
        for stream in (b"", b"\xff\xd8", b"SECRET" * 50, b"\xff\xd8\xff\xda\xff\xd9"):
            pixels = make.encapsulate([[stream]])
            path = make.write(tmp_path / "a.dcm", header(ROWS, COLUMNS), pixels, JPEGBaseline8Bit)
            assert "no JPEG Baseline" in error_of(path, 1)

    @pytest.mark.parametrize("damage", [(2, 0xFE), (3, 0x00), ("precision", 24)])
    def test_what_makes_gdcm_abort_never_reaches_it(
        self, tmp_path: Path, damage: tuple[int | str, int]
    ) -> None:
        path = make.compressed(tmp_path / "a.dcm", header(ROWS, COLUMNS), GREY, JPEGLosslessSV1)
        content = bytearray(path.read_bytes())
        start = content.index(b"\xff\xd8\xff")
        where, value = damage
        at = content.index(b"\xff\xc3") + 4 if where == "precision" else start + int(where)
        content[at] = value
        path.write_bytes(content)
        assert "code stream" in error_of(path, 1)

    def test_a_damaged_rle_frame(self, tmp_path: Path) -> None:
        path = make.compressed(tmp_path / "a.dcm", header(ROWS, COLUMNS), GREY, RLELossless)
        data = dcmread(path)
        data.PixelData = make.encapsulate([[b"\1\0\0\0\x40" + bytes(59) + b"\x05ab"]])
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
        message = error_of(path, 1)
        assert "pylibjpeg: " in message
        assert "pydicom: " in message

    def test_a_small_file_of_a_very_large_frame_is_not_decoded(self, tmp_path: Path) -> None:
        """3 MB of RLE took 2 GB of memory: 33 million pixels of 16-bit colour."""
        layout = {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}
        data = make.colour_header(5760, 5760, "RGB", **layout)
        path = make.write(tmp_path / "a.dcm", data, make.encapsulate([[b"12"]]), RLELossless)
        assert "not believed of an ultrasound frame" in error_of(path)

    def test_a_list_of_very_many_regions_is_not_parsed(self, tmp_path: Path) -> None:
        """It took minutes (found by fuzzing)."""
        data = header(ROWS, COLUMNS, SequenceOfUltrasoundRegions=[make.region()] * 8_000)
        path = make.write(tmp_path / "a.dcm", data, GREY.tobytes())
        assert "The list of ultrasound regions has" in error_of(path)

    @pytest.mark.parametrize(
        "keyword", ["SOPClassUID", "PhotometricInterpretation", "TransferSyntaxUID"]
    )
    def test_a_value_that_swallows_the_header_is_not_quoted(
        self, tmp_path: Path, keyword: str
    ) -> None:
        """As a damaged length does: the patient is part of the value (found by fuzzing)."""
        garbage = f"1.2\0{make.SECRET_NAME}"[:16]
        path = make.write(tmp_path / "a.dcm", header(ROWS, COLUMNS), GREY.tobytes())
        data = dcmread(path)
        del data.PixelData
        if keyword != "SOPClassUID":
            data.add_new("PixelData", "OB", GREY.tobytes())
        with config.disable_value_validation():
            setattr(data.file_meta if keyword in data.file_meta else data, keyword, garbage)
            data.save_as(path, implicit_vr=False, little_endian=True)
        with pytest.raises(ClipError) as error, Clip.open(path) as clip:
            clip.frame(1)
        assert "SECRET" not in str(error.value)

    def test_an_rle_frame_at_which_the_decoder_panics(self, tmp_path: Path) -> None:
        """A panic of Rust is no Exception, and once ended the whole batch (found by fuzzing)."""
        samples = np.arange(60, dtype=np.uint16).reshape(10, 6)
        layout = {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}
        path = make.compressed(tmp_path / "a.dcm", header(10, 6, **layout), samples, RLELossless)
        data = dcmread(path)
        first, second = b"\xc5\x05\xfb\x07", b"\xc5\x05"  # 60 bytes and six more; 60
        start = struct.pack("<16L", 2, 64, 64 + len(first), *[0] * 13)
        data.PixelData = make.encapsulate([[start + first + second]])
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
        with Clip.open(path) as clip, suppress(ClipError):
            clip.frame(1)  # another decoder may read it

    def test_compressed_or_not_must_agree(self, tmp_path: Path) -> None:
        data = header(ROWS, COLUMNS)
        content = make.write(tmp_path / "a.dcm", data, GREY.tobytes()).read_bytes()
        old = _element(b"UI", ExplicitVRLittleEndian.encode())
        new = _element(b"UI", RLELossless.encode())
        (tmp_path / "a.dcm").write_bytes(content.replace(old, new))
        assert "contradict" in error_of(tmp_path / "a.dcm")
        content = make.jpeg_cine(tmp_path / "a.dcm", 1).read_bytes()
        old = _element(b"UI", JPEGBaseline8Bit.encode())
        new = _element(b"UI", ExplicitVRLittleEndian.encode())
        (tmp_path / "a.dcm").write_bytes(content.replace(old, new))
        _fix_meta_length(tmp_path / "a.dcm")
        assert "contradict" in error_of(tmp_path / "a.dcm")

    def test_absurd_sizes_allocate_nothing(self, tmp_path: Path) -> None:
        data = header(65535, 65535, NumberOfFrames=2**31 - 1)
        assert "not believed" in error_of(make.write(tmp_path / "a.dcm", data, GREY.tobytes()))
        data = header(2000, 2000, NumberOfFrames=2**31 - 1)
        assert "contradict" in error_of(make.write(tmp_path / "a.dcm", data, GREY.tobytes()))
        stream = make.jpeg(GREY)
        sof = stream.index(b"\xff\xc0")
        huge = stream[: sof + 5] + struct.pack(">HH", 65535, 65535) + stream[sof + 9 :]
        pixels = make.encapsulate([[huge]])
        path = make.write(tmp_path / "a.dcm", header(ROWS, COLUMNS), pixels, JPEGBaseline8Bit)
        assert "65535 x 65535" in error_of(path, 1)

    def test_millions_of_empty_fragments(self, tmp_path: Path) -> None:
        empty = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * (MAX_FRAGMENTS + 2)
        path = make.jpeg_cine(tmp_path / "a.dcm", 1)
        content = path.read_bytes()
        path.write_bytes(content[:-8] + empty)
        assert "fragments" in error_of(path)

    def test_a_deflate_bomb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("imaging.dicom_file.MAX_INFLATED", 100_000)
        path = make.write(
            tmp_path / "a.dcm",
            header(ROWS, COLUMNS),
            GREY.tobytes(),
            DeflatedExplicitVRLittleEndian,
        )
        assert read(path).number == 1
        content = path.read_bytes()
        meta = content.index(b"1.2.840.10008.1.2.1.99")
        packer = zlib.compressobj(wbits=-15)
        bomb = packer.compress(bytes(10_000_000)) + packer.flush()
        path.write_bytes(content[: meta + 22] + bomb)
        error_of(path)

    @pytest.mark.parametrize(
        "lie",
        [
            {"PhotometricInterpretation": "SECRETSECRETSECRETSECRET"},
            {"PhotometricInterpretation": None},
            {"PhotometricInterpretation": "RGB"},
            {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0},
            {"BitsStored": 9},
            {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 15},
        ],
    )
    def test_layouts_that_cannot_be(self, tmp_path: Path, lie: dict[str, Any]) -> None:
        data = header(ROWS, COLUMNS, **lie)
        data.add_new("PixelData", "OW", GREY.tobytes())
        with pytest.raises(ClipError):
            Clip.open(make.write(tmp_path / "a.dcm", data, None))

    def test_colour_without_planar_configuration(self, tmp_path: Path) -> None:
        data = make.colour_header(ROWS, COLUMNS, "RGB", PlanarConfiguration=None)
        assert "PlanarConfiguration" in error_of(
            make.write(tmp_path / "a.dcm", data, RGB.tobytes())
        )


class TestStills:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
    @pytest.mark.parametrize("colour", [False, True])
    def test_formats(self, tmp_path: Path, kind: str, colour: bool) -> None:
        path = tmp_path / "still"
        options = {"quality": 95} if kind == "JPEG" else {}
        Image.fromarray(RGB if colour else GREY).save(path, kind, **options)
        with Clip.open(path) as clip:
            assert (clip.rows, clip.columns, clip.frames) == (ROWS, COLUMNS, 1)
            assert clip.header is None
            assert clip.transfer_syntax is None
            assert clip.identity.patient_id is None
            found = clip.frame(1)
        expected = luma_of(RGB) if colour else GREY.astype(float)
        assert np.abs(found.luma - expected).max() <= 1.1 or kind == "JPEG"
        assert np.abs(found.luma - expected).mean() < 2
        assert found.colour.any() == colour

    def test_a_jpeg_goes_the_same_road_in_and_out_of_dicom(self, tmp_path: Path) -> None:
        stream = make.jpeg(RGB, quality=70)
        (tmp_path / "a.jpg").write_bytes(stream)
        data = make.colour_header(ROWS, COLUMNS, "YBR_FULL_422")
        make.write(tmp_path / "a.dcm", data, make.encapsulate([[stream]]), JPEGBaseline8Bit)
        still, dicom = read(tmp_path / "a.jpg"), read(tmp_path / "a.dcm")
        assert (still.luma == dicom.luma).all()
        assert (still.colour == dicom.colour).all()

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
    def test_modes(self, tmp_path: Path, mode: str) -> None:
        image = Image.fromarray(GREY)
        if mode == "I;16":
            image = Image.fromarray(GREY.astype(np.uint16) << 8)
        elif mode == "1":
            image = image.point(lambda level: 255 * (level > 99)).convert("1")
        else:
            image = image.convert(mode)
        image.save(tmp_path / "a.png")
        expected = np.where(GREY > 99, 255, 0) if mode == "1" else GREY
        assert np.abs(read(tmp_path / "a.png").luma.astype(int) - expected).max() <= 1

    def test_float_grey_has_no_scale(self, tmp_path: Path) -> None:
        Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "a.tiff")
        assert "32 bits" in error_of(tmp_path / "a.tiff", 1)

    def test_the_pages_of_a_tiff(self, tmp_path: Path) -> None:
        pages = [Image.fromarray(speckle(seed=n)) for n in range(3)]
        pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
        with Clip.open(tmp_path / "a.tiff") as clip:
            assert clip.frames == 3
            for number in (3, 1):
                assert (clip.frame(number).luma == speckle(seed=number - 1)).all()
        odd = Image.fromarray(speckle(20, 20))
        pages[0].save(tmp_path / "b.tiff", save_all=True, append_images=[odd])
        assert "20 x 20" in error_of(tmp_path / "b.tiff", 2)

    def test_a_decompression_bomb(self, tmp_path: Path) -> None:
        Image.fromarray(GREY).save(tmp_path / "a.png")
        content = bytearray((tmp_path / "a.png").read_bytes())
        for size in ((6000, 6000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)):
            content[16:24] = struct.pack(">II", *size)
            content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
            (tmp_path / "a.png").write_bytes(content)
            error_of(tmp_path / "a.png")

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    def test_a_still_cut_off(self, tmp_path: Path, kind: str) -> None:
        Image.fromarray(speckle(200, 300)).save(tmp_path / "a", kind)
        content = (tmp_path / "a").read_bytes()
        for length in (9, 40, len(content) // 2):
            (tmp_path / "b").write_bytes(content[:length])
            error_of(tmp_path / "b", 1)


class TestIdentity:
    def test_all_of_it(self, tmp_path: Path) -> None:
        path = make.write(tmp_path / "a.dcm", header(ROWS, COLUMNS), GREY.tobytes())
        with Clip.open(path) as clip:
            found = clip.identity
            assert clip.header is not None
            assert "PixelData" not in clip.header
        assert found.sop_instance_uid == "1.2.826.0.1.3680043.8.498.1"
        assert found.study_instance_uid == "1.2.826.0.1.3680043.8.498.2"
        assert found.patient_id == make.SECRET_ID
        assert found.acquired_at == "2024-05-03T14:07:00"
        assert found.manufacturer == "Acme"
        assert found.manufacturer_model == "Wave 3"

    @pytest.mark.parametrize(
        ("elements", "expected"),
        [
            ({}, None),
            ({"AcquisitionDateTime": "20240503140700.5"}, "2024-05-03T14:07:00.500000"),
            ({"AcquisitionDateTime": "20240503140700-0230"}, "2024-05-03T14:07:00-02:30"),
            ({"AcquisitionDateTime": "2024", "StudyDate": "20240504"}, "2024-05-04"),
            ({"AcquisitionDate": "20240503", "AcquisitionTime": "1407"}, "2024-05-03T14:07:00"),
            ({"AcquisitionDate": "20240503", "AcquisitionTime": "noon"}, "2024-05-03"),
            ({"AcquisitionDate": "20241399", "ContentDate": "20240503"}, "2024-05-03"),
            ({"ContentDate": "2024.05.03", "StudyDate": "20200101"}, "2024-05-03"),
            ({"SeriesDate": "20240503", "SeriesTime": "140760"}, "2024-05-03T14:07:59"),
            ({"StudyDate": "20240503", "StudyTime": "250000"}, "2024-05-03"),
            ({"StudyDate": "", "StudyTime": "120000"}, None),
        ],
    )
    def test_when(self, tmp_path: Path, elements: dict[str, str], expected: str | None) -> None:
        data = header(ROWS, COLUMNS, StudyDate=None, StudyTime=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for keyword, value in elements.items():
                setattr(data, keyword, value)
            path = make.write(tmp_path / "a.dcm", data, GREY.tobytes())
        with Clip.open(path) as clip:
            assert clip.identity.acquired_at == expected

    def test_empty_is_none(self, tmp_path: Path) -> None:
        data = header(ROWS, COLUMNS, PatientID="  ", Manufacturer=None)
        with Clip.open(make.write(tmp_path / "a.dcm", data, GREY.tobytes())) as clip:
            assert clip.identity.patient_id is None
            assert clip.identity.manufacturer is None

    def test_sha256(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc" * 100_000)
        assert sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


class TestPublishedFiles:
    """Real files of the package pydicom-data; nothing is downloaded."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"),
            ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"),
            ("OBXXXX1A_2frame.dcm", "OBXXXX1A_rle_2frame.dcm"),
            ("OBXXXX1A_2frame.dcm", "OBXXXX1A_expb_2frame.dcm"),
            ("US1_UNCR.dcm", "US1_J2KR.dcm"),
            ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm"),
            ("color-px.dcm", "color-pl.dcm"),
        ],
    )
    def test_the_same_picture_in_another_encoding(self, one: str, other: str) -> None:
        with Clip.open(PUBLISHED / one) as first, Clip.open(PUBLISHED / other) as second:
            assert first.frames == second.frames
            for ours, theirs in zip(first, second, strict=True):
                assert (ours.luma == theirs.luma).all()
                assert (ours.colour == theirs.colour).all()

    def test_a_cine(self) -> None:
        with Clip.open(PUBLISHED / "color3d_jpeg_baseline.dcm") as clip:
            assert (clip.rows, clip.columns, clip.frames) == (480, 640, 120)
            found = clip.frame(120)
            assert found.luma[100:400, 150:500].mean() > 5
            assert found.colour.mean() < 0.02

    @pytest.mark.parametrize("name", sorted(p.name for p in PUBLISHED.glob("SC_rgb_dcmtk_*")))
    def test_every_kind_of_jpeg_shows_the_same_bars(self, name: str) -> None:
        """The files of dcmtk with all combinations of colour space, subsampling and marker."""
        with Clip.open(PUBLISHED / "SC_rgb.dcm") as plain:
            expected = plain.frame(1).luma.astype(int)
        assert np.abs(read(PUBLISHED / name).luma - expected).mean() < 4
