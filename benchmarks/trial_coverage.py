"""How often 95 % intervals of the trial's estimates hold the truth: simulated trials, analysed.

`python -m benchmarks.trial_coverage [--trials 500] [--women 60] [--processes 2]`. Prints of every
estimate its truth, coverage with Monte Carlo error, bias with Monte Carlo error, mean width, how
many trials had an interval, and whether coverage lies within 93 to 97 %.
"""

import argparse
import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np

from trial.agreement.estimate import Estimate
from trial.analysis.mixed import Mixed
from trial.analysis.whole import Endpoints, analyse
from trial.simulation import simulate
from trial.simulation_truth import CYCLES, TRUTH

Found = tuple[str, float, float, float | None, float | None]
BAND = (0.93, 0.97)


def trial(seed: int, women: int) -> list[Found]:
    """Return name, truth, estimate and its interval of everything estimated in one trial."""
    cohort = simulate(seed, women)
    found = analyse(
        cohort.observations, cohort.transfers, Endpoints(cohort.truth.arms), cohort.baselines
    )
    pairs: list[tuple[str, float, Estimate | None]] = []
    if isinstance(found.mixed, Mixed):
        truth = {
            "intercept": TRUTH.mean_mm
            + TRUTH.response_mm
            + TRUTH.day_mm * ((found.mixed.day or 0) - TRUTH.day),
            "arm": TRUTH.arm_mm,
            "cycle": TRUTH.growth_mm,
            "arm x cycle": TRUTH.arm_growth_mm,
            "cycle type": TRUTH.natural_mm,
            "cycle day": TRUTH.day_mm,
        }
        pairs += [(f"mixed: {t.name}", truth[t.name], t.estimate) for t in found.mixed.terms]
        pairs.append(("mixed: SD of women", TRUTH.woman_sd_mm, Estimate(found.mixed.woman_sd_mm)))
        pairs.append(
            ("mixed: residual SD", TRUTH.residual_sd_mm, Estimate(found.mixed.residual_sd_mm))
        )
    for each in found.thickness.differences:
        gap = TRUTH.gain(1, each.cycle) - TRUTH.gain(0, each.cycle)
        if 1 <= each.cycle <= CYCLES:
            pairs.append((f"change, cycle {each.cycle}: difference", gap, each.change))
            pairs.append((f"thickness, cycle {each.cycle}: difference", gap, each.thickness))
    for i, arm in enumerate(found.arms):
        rate = found.outcomes.implantation[i].rate
        pairs.append((f"implantation: {arm}", TRUTH.sacs_per_embryo(i), rate and rate.rate))
    for name, of, what in (
        ("implantation", TRUTH.sacs_per_embryo, found.outcomes.implantation_difference),
        ("pregnancy, any transfer", TRUTH.pregnant, found.outcomes.any_transfer.difference),
        (
            "pregnancy, first transfer",
            TRUTH.pregnant_at_first,
            found.outcomes.first_transfer.difference,
        ),
    ):
        pairs.append((f"{name}: difference", of(1) - of(0), what))
    if found.repeats.overall:
        pairs.append(("repeats: SD", TRUTH.error_sd_mm, found.repeats.overall.sd))
    return [(name, true, e.value, e.low, e.high) for name, true, e in pairs if e is not None]


def lines(results: list[list[Found]]) -> Iterator[str]:
    """Yield the table, a line for each estimate."""
    yield (
        f"{'estimate':40} {'truth':>7} {'coverage %':>14} {'bias':>17} {'width':>7} {'trials':>7}  "
        "93-97 %"
    )
    names = dict.fromkeys(name for result in results for name, *_ in result)
    for name in names:
        rows = [each for result in results for each in result if each[0] == name]
        errors = np.array([value - true for _, true, value, *_ in rows])
        bias, noise = errors.mean(), errors.std(ddof=1) / math.sqrt(len(errors))
        truth = np.mean([true for _, true, *_ in rows])
        ends = [(true, low, high) for _, true, _, low, high in rows if low is not None]
        cover, width, verdict = "", "", "no interval"
        if ends:
            p = float(np.mean([low <= true <= high for true, low, high in ends]))
            cover = f"{100 * p:.1f} ± {100 * math.sqrt(p * (1 - p) / len(ends)):.1f}"
            width = f"{np.mean([high - low for _, low, high in ends]):.3f}"
            verdict = "yes" if BAND[0] <= p <= BAND[1] else "NO"
        yield (
            f"{name:40} {truth:7.3f} {cover:>14} {f'{bias:+.4f} ± {noise:.4f}':>17} {width:>7} "
            f"{len(ends) or len(rows):7}  {verdict}"
        )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--women", type=int, default=60)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.trials)
    # Small matrices: threads of the linear algebra would only wait for each other. The processes
    # that are started inherit this before they load it.
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(partial(trial, women=arguments.women), seeds, chunksize=10))
    print(f"{arguments.trials} trials of {arguments.women} women\n")
    print("\n".join(lines(results)))


if __name__ == "__main__":
    main()
