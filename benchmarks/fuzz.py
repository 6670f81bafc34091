"""Fuzzing of all that reads foreign bytes: `python -m benchmarks.fuzz [--inputs 100000]`.

Mutated files go the way of `endometer measure` (and of `dataset import`, `--bundle`) up to where
the network begins, in a watched process: a finding is a crash, more than 10 s, more than 1 GB, an
exception that the program has no name for, or millimetres that the safety rule, written a second
time in `benchmarks.fuzzing.oracle`, does not allow. Prints what came of every kind of input and
keeps each input that led to a finding. `--only N` runs one input again, as number N of this seed.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fuzzing.seeds import make_seeds
from benchmarks.fuzzing.watch import Done, Watched, made


def main() -> int:
    options = _options()
    started = time.monotonic()
    table: dict[str, list[Done]] = defaultdict(list)
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    slowest: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="endometer-fuzz-") as place:
        seeds = options.seeds or Path(place) / "seeds"
        if not seeds.is_dir():
            make_seeds(seeds)
        with Watched(seeds, options.seed, Path(place) / "work") as worker:
            for done in worker.run(_numbers(options, started)):
                totals[done.kind][done.outcome if not done.finding else "FINDING"] += 1
                seconds[done.kind] += done.seconds
                slowest[done.kind] = max(slowest[done.kind], done.seconds)
                if done.finding:
                    table[done.kind].append(done)
                    _keep(options.keep, seeds, options.seed, done)
                if options.every and sum(map(sum, _values(totals))) % options.every == 0:
                    _print(totals, seconds, slowest)
    _print(totals, seconds, slowest)
    findings = list(itertools.chain.from_iterable(table.values()))
    for done in findings:
        print(f"finding: input {done.number} ({done.kind}): {done.outcome}")
    inputs = sum(map(sum, _values(totals)))
    print(f"{inputs:,} inputs, {time.monotonic() - started:.0f} s, {len(findings)} findings")
    return 1 if findings else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end then")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, default=None, help="this input alone")
    parser.add_argument("--every", type=int, default=0, help="print the table every so many")
    parser.add_argument("--seeds", type=Path, help="folder of seed files, made if not there")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    return parser.parse_args()


def _numbers(options: argparse.Namespace, started: float) -> Iterator[int]:
    if options.only is not None:
        yield options.only
        return
    for number in range(options.first, options.first + options.inputs):
        if time.monotonic() - started > options.seconds:
            return
        yield number


def _values(totals: dict[str, Counter[str]]) -> Iterator[list[int]]:
    return (list(counts.values()) for counts in totals.values())


def _keep(folder: Path, seeds: Path, seed: int, done: Done) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kind, data = made(seeds, seed, done.number)
    (folder / f"{kind}-{seed}-{done.number}").write_bytes(data)
    print(
        f"finding: input {done.number} ({done.kind}): {done.outcome}", file=sys.stderr, flush=True
    )


def _print(totals: dict[str, Counter[str]], seconds: Counter[str], slowest: Counter[str]) -> None:
    print(f"{'kind':<10}{'inputs':>8}{'seconds':>9}{'slowest':>9}  outcomes")
    for kind in sorted(totals):
        said = ", ".join(f"{count:,} {word}" for word, count in totals[kind].most_common(8))
        inputs = sum(totals[kind].values())
        print(f"{kind:<10}{inputs:>8,}{seconds[kind]:>9.0f}{slowest[kind]:>9.2f}  {said}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
