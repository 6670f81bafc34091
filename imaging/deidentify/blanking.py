"""Black in stored values, and frames that are black where nothing may stay."""

from dataclasses import dataclass

from imaging.pixels import Mask, Samples, to_8_bits, true_photometric


@dataclass(frozen=True)
class Black:
    """What black is in stored values: `bits_stored` and `signed` as in the header, and the darkest
    index of a palette where there is one."""

    bits_stored: int
    signed: bool
    darkest: int | None = None

    def of(self, samples: Samples, photometric: str) -> int | tuple[int, int, int]:
        """Return the stored value of black, or the three of a colour."""
        low = -(1 << (self.bits_stored - 1)) if self.signed else 0
        high = low + (1 << self.bits_stored) - 1
        if photometric == "PALETTE COLOR":
            return self.darkest or 0
        if samples.ndim == 2:
            return high if photometric == "MONOCHROME1" else low
        levels = to_8_bits(samples, self.bits_stored, self.signed)
        if true_photometric(levels, photometric) == "RGB":
            return low, low, low
        middle = low + (1 << (self.bits_stored - 1))
        return low, middle, middle


def blanked(samples: Samples, photometric: str, kept: Mask, black: Black) -> Samples:
    """Return the samples of a frame, (rows, columns) or (rows, columns, 3), black outside `kept`.

    `photometric` as its tag says; black is that of what the samples are.
    """
    made = samples.copy()
    made[~kept] = black.of(samples, photometric)
    return made
