"""From decoded samples to what is measured: luma, and how far each pixel is from grey.

Everything here is pure and works on one frame. Raw YBR stays YBR: its Y is the luma, so that no
clip goes through a conversion that another one skips.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Uint8 = NDArray[np.uint8]
Int8 = NDArray[np.int8]
Mask = NDArray[np.bool_]
Samples = NDArray[Any]

# A pixel is coloured when Cb or Cr is further from grey than this. A grey picture that went
# through JPEG keeps both within 1-2 levels; around coloured text the 4:2:0 chroma, being shared
# by 2 x 2 pixels and quantised, rings by up to about 10 % of the text's chroma (100), so by 10.
# Doppler and calipers lie at 30 and more. The two pixels of chroma that bleed out of a coloured
# stroke count as coloured, which is what somebody who masks the stroke wants.
CHROMA_THRESHOLD = 16

# Below this luma a pixel says nothing about the grey map: black is black in every map.
_LIT = 24
_TINT_BINS = 16

_CHANNELS = {
    "MONOCHROME1": (),
    "MONOCHROME2": (),
    "RGB": (3,),
    "YBR_FULL": (3,),
    "YBR_FULL_422": (3,),
}


@dataclass(frozen=True)
class Palette:
    """Colour table: stored value `first + i` shows as the RGB in row i of `table`.

    `table` is uint8 (entries, 3). Values outside the table take its first or last entry
    (PS3.3 C.7.6.3.1.5).
    """

    first: int
    table: Uint8


@dataclass(frozen=True)
class Planes:
    """One frame, ready to be measured."""

    luma: Uint8
    """(rows, columns)."""
    chroma: Int8 | None
    """(rows, columns, 2): Cb and Cr around 0; None where the image is grey by construction."""


def planes(
    samples: Samples,
    photometric: str,
    bits_stored: int = 8,
    signed: bool = False,
    palette: Palette | None = None,
) -> Planes:
    """Turn the raw samples of one frame into luma and chroma.

    Args:
        samples: integers, (rows, columns) or (rows, columns, 3), unused bits cleared.
        photometric: the PhotometricInterpretation of `samples` (PS3.3 C.7.6.3.1.2).
        bits_stored: samples use this many bits; they are scaled to 8.
        signed: two's complement; the lowest value is black (or white in MONOCHROME1).
        palette: needed for PALETTE COLOR, unused otherwise.

    Returns:
        Luma: grey as it is, MONOCHROME1 inverted, Y of YBR, BT.601 luma of RGB.

    Raises:
        ValueError: the photometric interpretation is unknown or does not fit the shape.
    """
    if photometric == "PALETTE COLOR":
        if palette is None or samples.ndim != 2:
            raise ValueError("PALETTE COLOR needs a palette and one sample per pixel")
        return _from_palette(samples, palette)
    levels = to_8_bits(samples, bits_stored, signed)
    if photometric not in _CHANNELS:
        raise ValueError(f"PhotometricInterpretation {photometric} is not supported")
    if samples.shape[2:] != _CHANNELS[photometric]:
        raise ValueError(f"{photometric} does not fit samples of shape {samples.shape}")
    if photometric.startswith("MONOCHROME"):
        return Planes(levels if photometric == "MONOCHROME2" else 255 - levels, None)
    if true_photometric(levels, photometric) == "RGB":
        return _from_rgb(levels)
    return _from_ybr(levels)


def to_8_bits(samples: Samples, bits_stored: int, signed: bool = False) -> Uint8:
    """Scale samples of `bits_stored` bits to uint8: full scale becomes 255, shape unchanged."""
    if bits_stored == 8 and not signed and samples.dtype == np.uint8:
        return samples
    shifted = samples.astype(np.int64)
    if signed:
        shifted += 1 << (bits_stored - 1)
    highest = (1 << bits_stored) - 1
    shifted = np.clip(shifted, 0, highest)
    if bits_stored >= 8:
        return (shifted >> (bits_stored - 8)).astype(np.uint8)
    return (shifted * 255 // highest).astype(np.uint8)


def true_photometric(samples: Uint8, photometric: str) -> str:
    """Return what three-channel samples are, which is not always what their tag says.

    An ultrasound picture is mostly grey. Grey in YBR has both chroma channels at 128, grey in RGB
    has three equal channels; a picture that shows the other pattern nearly everywhere carries the
    wrong tag (and would be shown green or pink). Where the pixels do not decide, the tag holds.

    Args:
        samples: uint8 (rows, columns, 3).
        photometric: RGB, YBR_FULL or YBR_FULL_422; others are returned as they are.
    """
    step = max(1, int(np.sqrt(samples.shape[0] * samples.shape[1] / 4_000)))
    few = samples[::step, ::step].reshape(-1, 3).astype(np.int16)
    first_off_mid = np.abs(few[:, 0] - 128) > 16  # where both patterns differ
    if photometric == "RGB":
        at_mid = (np.abs(few[:, 1:] - 128) <= 6).all(axis=1)
        wrong = at_mid.mean() > 0.75 and (at_mid & first_off_mid).mean() > 0.25
        return "YBR_FULL" if wrong else photometric
    if photometric.startswith("YBR_FULL"):
        equal = (np.abs(few[:, 1:] - few[:, :1]) <= 4).all(axis=1)
        return "RGB" if (equal & first_off_mid).mean() > 0.6 else photometric
    return photometric


def colour_mask(chroma: Int8) -> Mask:
    """Return where Cb or Cr is more than CHROMA_THRESHOLD away from grey: (rows, columns)."""
    # in unsigned arithmetic [-t, t] + t is [0, 2t], and everything else lies above
    away = chroma.view(np.uint8) + np.uint8(CHROMA_THRESHOLD) > 2 * CHROMA_THRESHOLD
    mask: Mask = away[..., 0] | away[..., 1]
    return mask


def graphics_mask(luma: Uint8, chroma: Int8 | None) -> Mask:
    """Return the coloured pixels that a tinted grey map does not explain.

    A tinted map (sepia, blue) gives every luma one chroma. When most lit pixels lie on such a
    curve, estimated as the median chroma by luma, only what leaves it by more than
    CHROMA_THRESHOLD is graphics or Doppler. In an untinted image it is the colour mask.

    Args:
        luma: uint8 (rows, columns).
        chroma: int8 (rows, columns, 2) around 0; None gives an empty mask.
    """
    if chroma is None:
        return np.zeros(luma.shape, dtype=np.bool_)
    curve = _tint_curve(luma, chroma)
    if curve is None:
        return colour_mask(chroma)
    expected = curve[luma]
    away = np.abs(chroma.astype(np.int16) - expected) > CHROMA_THRESHOLD
    mask: Mask = away[..., 0] | away[..., 1]
    return mask


def _tint_curve(luma: Uint8, chroma: Int8) -> NDArray[np.int16] | None:
    """Return the map's chroma by luma, int16 (256, 2), or None if the image is not tinted."""
    step = max(1, int(np.sqrt(luma.size / 40_000)))
    few_luma = luma[::step, ::step].ravel()
    few = chroma[::step, ::step].reshape(-1, 2).astype(np.int16)
    lit = few_luma >= _LIT
    few_luma, few = few_luma[lit], few[lit]
    if len(few) < 100 or np.abs(np.median(few, axis=0)).max() <= 3:
        return None
    width = 256 // _TINT_BINS
    bins = few_luma // width
    # a luma that hardly occurs in tissue may be owned by text: leave it to its neighbours
    owned = np.bincount(bins, minlength=_TINT_BINS) >= 0.01 * len(few)
    centres = [number * width + width / 2 for number in np.flatnonzero(owned)]
    medians = [np.median(few[bins == number], axis=0) for number in np.flatnonzero(owned)]
    every = np.arange(256)
    curve = np.stack(
        [
            np.interp(every, [0, *centres], [0, *(median[channel] for median in medians)])
            for channel in (0, 1)
        ],
        axis=1,
    ).astype(np.int16)
    explained = (np.abs(few - curve[few_luma]) <= CHROMA_THRESHOLD // 2).all(axis=1).mean()
    return curve if explained > 0.6 else None


def _from_palette(samples: Samples, palette: Palette) -> Planes:
    luma_table, chroma_table = _luma_and_chroma(palette.table)
    # mode clip: what lies outside the table takes its ends
    index = samples if palette.first == 0 else samples.astype(np.intp) - palette.first
    luma = np.take(luma_table, index, mode="clip")
    # both chroma bytes of an entry travel as one 16-bit number
    pairs = np.take(chroma_table.view(np.int16)[:, 0], index, mode="clip")
    return Planes(luma, pairs.view(np.int8).reshape(*samples.shape, 2))


def _from_ybr(samples: Uint8) -> Planes:
    chroma = np.empty((*samples.shape[:2], 2), dtype=np.uint8)
    # one channel at a time is ten times faster than both as a block
    chroma[..., 0], chroma[..., 1] = samples[..., 1], samples[..., 2]
    chroma ^= 0x80  # 128 becomes 0, as a signed byte
    return Planes(np.ascontiguousarray(samples[..., 0]), chroma.view(np.int8))


def _from_rgb(samples: Uint8) -> Planes:
    return Planes(*_luma_and_chroma(samples))


def _luma_and_chroma(rgb: Uint8) -> tuple[Uint8, Int8]:
    """Luma (...) and chroma (..., 2) of RGB (..., 3): ITU-R BT.601-7 section 2.5.

    In integers of 16 bits: 0.299, 0.587, 0.114 become 77, 150 and 29 of 256, so that grey stays
    exactly what it is.
    """
    red, green, blue = (rgb[..., index].astype(np.uint16) for index in range(3))
    luma = ((red * 77 + green * 150 + blue * 29 + 128) >> 8).astype(np.uint8)
    level = luma.astype(np.int16)
    chroma = np.empty((*luma.shape, 2), dtype=np.int8)
    # Cb = (B - Y) / 1.772 and Cr = (R - Y) / 1.402
    chroma[..., 0] = ((blue.view(np.int16) - level) * 72 + 64) >> 7
    chroma[..., 1] = np.minimum(((red.view(np.int16) - level) * 91 + 64) >> 7, 127)
    return luma, chroma
