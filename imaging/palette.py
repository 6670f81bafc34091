"""The colour table of PALETTE COLOR images: PS3.3 C.7.6.3.1.5 and .6, segmented: C.7.9.2."""

from typing import TYPE_CHECKING, Any

import numpy as np

from imaging.errors import ClipError
from imaging.pixels import Palette, Uint8

if TYPE_CHECKING:
    from pydicom import Dataset

_COLOURS = ("Red", "Green", "Blue")


def read_palette(header: "Dataset", little_endian: bool) -> Palette:
    """Return the table that turns stored values into 8-bit RGB.

    Raises:
        ClipError: the table is missing or damaged.
    """
    try:
        first, columns = _columns(header, little_endian)
    except Exception as error:  # noqa: BLE001 - pydicom converts on access, which raises anything
        raise ClipError(
            "The pixels are PALETTE COLOR, but the colour table is missing or damaged "
            f"({type(error).__name__}). Export the clip again."
        ) from None
    table = np.stack(columns, axis=1)
    if table.max(initial=0) > 255:
        # 16-bit entries are scaled to the full range; entries of up to 255 in 16-bit words are
        # 8-bit entries that were stored wide, which is common
        table = table >> 8
    return Palette(first, table.astype(np.uint8))


def _columns(header: "Dataset", little_endian: bool) -> tuple[int, list["np.ndarray[Any, Any]"]]:
    descriptor = [int(value) for value in header["RedPaletteColorLookupTableDescriptor"].value]
    entries, first, bits = descriptor
    entries = (entries & 0xFFFF) or 65536  # may be read as signed; 0 stands for 65536
    if "SegmentedRedPaletteColorLookupTableData" in header:
        return first, _segmented(header, first, entries)
    columns = []
    for colour in _COLOURS:
        data = header[f"{colour}PaletteColorLookupTableData"].value
        columns.append(_entries(data, entries, bits, little_endian))
    return first, columns


def _entries(data: object, entries: int, bits: int, little_endian: bool) -> "np.ndarray[Any, Any]":
    if not isinstance(data, bytes):
        return np.asarray(data, dtype=np.uint16)[:entries]
    words = np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if little_endian else ">u2")
    if len(words) >= entries:
        return words[:entries].astype(np.uint16)
    if bits != 8 or len(data) < entries:
        raise ValueError
    # 8-bit entries packed two to a word, the first in the low byte
    return words.astype("<u2").view(np.uint8)[:entries].astype(np.uint16)


def _segmented(header: "Dataset", first: int, entries: int) -> list["np.ndarray[Any, Any]"]:
    from pydicom.pixels.processing import apply_color_lut  # noqa: PLC0415

    table: Uint8 | np.ndarray[Any, Any] = apply_color_lut(
        np.arange(first, first + entries, dtype=np.int32), header
    )
    return [table[:, index].astype(np.uint16) for index in range(3)]
