"""What is true of a simulated cohort, and what its analyses should therefore find.

The sizes are plausible, not known: they stand for no result of any trial.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from numpy.polynomial import Polynomial

CYCLES = 3
"""Treatment cycles at most."""


@dataclass(frozen=True)
class Truth:
    """The parameters of a simulated cohort; lengths in mm, pairs are (reference arm, other arm).

    A woman's own thickness is uniform on `own_mm`, which is what it is in a cycle of hormone
    replacement on `day`. Treatment adds `response_mm` in cycle 1, which varies from woman to woman
    by `response_sd_mm`, and `growth_mm` with each further cycle; the other arm adds `arm_mm` and
    `arm_growth_mm`. A natural cycle adds `natural_mm`, a day later `day_mm`. `visit_sd_mm` is how a
    woman differs from visit to visit, `error_sd_mm` how scans of a visit do.

    Women leave before a cycle with `drop_out`, whatever happened to them, and after a pregnancy. A
    cycle has its transfer with `transfer`, of two embryos with `two_embryos`, otherwise of one. A
    woman's chance of implantation per embryo is beta distributed with mean `implantation` and
    correlation `alike` of her embryos.
    """

    arms: tuple[str, str] = ("control", "hbmsc")
    own_mm: tuple[float, float] = (4.0, 6.0)
    day: int = 13
    response_mm: float = 0.5
    growth_mm: float = 0.2
    arm_mm: float = 0.8
    arm_growth_mm: float = 0.3
    natural_mm: float = -0.3
    day_mm: float = 0.08
    response_sd_mm: float = 0.4
    visit_sd_mm: float = 0.4
    error_sd_mm: float = 0.5
    drop_out: tuple[float, float] = (0.1, 0.06)
    transfer: float = 0.7
    two_embryos: float = 0.6
    implantation: tuple[float, float] = (0.2, 0.4)
    alike: float = 0.2

    @property
    def mean_mm(self) -> float:
        """Mean of the women's own thickness."""
        return sum(self.own_mm) / 2

    @property
    def woman_sd_mm(self) -> float:
        """How women differ in treatment cycles: the random intercept of the mixed model."""
        own = (self.own_mm[1] - self.own_mm[0]) / math.sqrt(12)
        return math.hypot(own, self.response_sd_mm)

    @property
    def residual_sd_mm(self) -> float:
        """How measurements of a woman differ beside that."""
        return math.hypot(self.visit_sd_mm, self.error_sd_mm)

    def gain(self, arm: int, cycle: int) -> float:
        """Return what treatment adds on average in arm 0 or 1; nothing before treatment."""
        if cycle < 1:
            return 0.0
        later = cycle - 1
        return (
            self.response_mm
            + self.growth_mm * later
            + arm * (self.arm_mm + self.arm_growth_mm * later)
        )

    def beta(self, arm: int) -> tuple[float, float]:
        """Return the parameters of the beta distribution of a woman's chance per embryo."""
        total = 1 / self.alike - 1
        return self.implantation[arm] * total, (1 - self.implantation[arm]) * total

    def sacs_per_embryo(self, arm: int) -> float:
        """Return expected sacs over expected embryos.

        Less than `implantation`: who has a better chance leaves sooner and has fewer transfers.
        """
        barren, fails = Polynomial([0.0, 1.0]), self._fails
        stays = 1 - self.transfer + self.transfer * fails
        left = sum(
            (self._there(arm, cycle) * stays ** (cycle - 1) for cycle in range(1, CYCLES + 1)),
            Polynomial([0.0]),
        )
        mean = self._moments(arm)
        return mean((1 - barren) * left) / mean(left)

    def pregnant(self, arm: int) -> float:
        """Return the chance of a clinical pregnancy of a woman with any transfer."""
        mean = self._moments(arm)
        some = none = 0.0
        for cycles in range(1, CYCLES + 1):
            last = self._there(arm, cycles) - (
                self._there(arm, cycles + 1) if cycles < CYCLES else 0.0
            )
            for k in range(1, cycles + 1):
                chance = (
                    math.comb(cycles, k)
                    * self.transfer**k
                    * (1 - self.transfer) ** (cycles - k)
                    * last
                )
                none += chance * mean(self._fails**k)
                some += chance
        return 1 - none / some

    def pregnant_at_first(self, arm: int) -> float:
        """Return the chance of a clinical pregnancy after the first transfer."""
        return 1 - self._moments(arm)(self._fails)

    @property
    def _fails(self) -> Polynomial:
        """Chance that a transfer fails, in powers of the chance that an embryo does."""
        return Polynomial([0.0, 1 - self.two_embryos, self.two_embryos])

    def _there(self, arm: int, cycle: int) -> float:
        """Return the chance not to have dropped out before a cycle."""
        return (1 - self.drop_out[arm]) ** cycle

    def _moments(self, arm: int) -> Callable[[Polynomial], float]:
        """Return the mean, over women, of a polynomial in the chance that an embryo fails."""
        a, b = self.beta(arm)

        def mean(polynomial: Polynomial) -> float:
            total, moment = 0.0, 1.0
            for power, factor in enumerate(polynomial.coef):
                total += float(factor) * moment
                moment *= (b + power) / (a + b + power)
            return total

        return mean


TRUTH = Truth()
