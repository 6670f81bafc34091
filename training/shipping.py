"""From trained weights to a bundle: exported, fitted, judged, and its card written.

What is fitted on patients and what on phantoms is said in the card and while it goes. Patients that
fit anything, and those that judge, are none that the network learned from.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from data.cases import Case, CasesError, read_cases
from data.phantom.dicom import Renderer
from data.phantom.render import LABELS
from imaging.clip import ClipError, sha256
from models.bundle import Bundle, IntervalTable, load_bundle
from models.check import card_of
from models.runtime import OpenVinoRuntime, Runtime
from training.calibrate import FEWEST_PATIENTS, SHIFT_SEED, TEST_SEED, fit_shift, phantom_cases
from training.card import write_card
from training.checkpoint import Weights
from training.config import Config
from training.estimates import bootstrap
from training.evaluate import evaluate
from training.exhibits import write_exhibits
from training.export import UNCALIBRATED, export
from training.fitting import (
    EMPTY,
    ON_PHANTOMS,
    below_limit,
    intervals,
    quality_limit,
    share_out,
)
from training.labelmap import label_scores
from training.summary import Result, card_numbers

NO_MM = (
    "It learned from images without a scale only, each shown at a guessed size, and no interval "
    "was fitted. Use it for outlines, and judge it by Dice."
)
RENDERER_1, RENDERER_2 = "stills of renderer 1, unseen", "stills of renderer 2, unseen"
ONLY_INTERVALS = "stills of renderer 2, which only the intervals were fitted on"
UNCHECKED = "It is not told which patients the model learned from, so nobody can check."
NO_INTERVALS = "No interval was fitted, so nobody knows how far a number may be off."


@dataclass(frozen=True)
class Evidence:
    """What a model is fitted on and judged by.

    `judge` and `calibrate` are folders of data sets. `n` phantoms of each renderer judge as well,
    and fit what the data sets are too small for; 0: none does. `gallery` worst cases are shown.
    """

    judge: Path | None = None
    calibrate: Path | None = None
    n: int = 200
    gallery: int = 8


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: `texts` for the card (name, licence, training_data,
    known_failures), facts of its runs (training.facts), the names of all patients it saw, and what
    people say of it (training.claim)."""

    texts: dict[str, str]
    runs: tuple[dict[str, Any], ...] = ()
    patients: frozenset[str] = frozenset()
    about: dict[str, str] = field(default_factory=dict)

    @property
    def scaled(self) -> bool | None:
        """Whether it learned from anything with millimetres; None where nobody can tell."""
        found = [run["scaled"] for run in self.runs]
        if not found or True in found:
            return True
        return None if None in found else False


@dataclass(frozen=True)
class Held:
    """Cases that the model never saw, and in words how sure that is."""

    judge: list[Case]
    calibrate: list[Case]
    words: str


def ship(
    weights: Weights | Sequence[Weights],
    config: Config,
    origin: Origin,
    out: Path,
    evidence: Evidence,
    chosen: tuple[float | None, float | None] = (None, None),
    say: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Write the bundle OUT, of one network or of all of an ensemble.

    `chosen` are the shift of the endometrium's logit and the least quality, None: fitted. `say`
    hears what each was fitted on. Raises CasesError for data sets that cannot be used or that share
    patients or images with what the model saw or with each other, OSError.
    """
    held = held_out(origin, evidence)  # before minutes of computing
    shift, min_quality = chosen
    # Millimetres say nothing about a model that has never seen a scale.
    n, own = (0, []) if origin.scaled is False else (evidence.n, held.calibrate)
    fields = export(weights, config, LABELS, origin.texts, out, shift or 0.0)
    fitted = {"shift": f"{shift or 0.0:g}, chosen by hand"}
    if shift is None:
        by, fitted["shift"] = _shift(config, load_bundle(out), n, own)
        if by:
            fields = export(weights, config, LABELS, origin.texts, out, by)
    say(f"shift of the endometrium's logit: {fitted['shift']}.")
    fields |= {"about": origin.about, "runs": list(origin.runs), "fitted": fitted}
    table = _fit(held.calibrate, load_bundle(out), n, min_quality, fields, say)
    if table == UNCALIBRATED:
        fitted["why"] = NO_MM if origin.scaled is False else NO_INTERVALS
        say(f"no number in millimetres can be trusted. {fitted['why']}")
    write_card(out, fields, table, {})
    metrics = _judge(held, evidence, load_bundle(out), n, fields, say)
    write_card(out, fields, table, metrics)
    return load_bundle(out)


def judge_again(
    bundle: Bundle, evidence: Evidence, say: Callable[[str], None] = lambda _: None
) -> Bundle:
    """Judge a bundle that is there, and write its card again with what was found and a gallery.

    `evidence.calibrate` is not used: nothing is fitted. A card does not say which patients a model
    learned from, so that nobody can check that those of `evidence.judge` are others. Raises
    CasesError, OSError.
    """
    if evidence.judge is None and not evidence.n:
        raise CasesError("there is nothing to judge on: name a data set, or some phantoms.")
    card = card_of(bundle.path)
    cases = [] if evidence.judge is None else read_cases(evidence.judge)
    metrics = _judge(Held(cases, [], UNCHECKED), evidence, bundle, evidence.n, card, say)
    write_card(bundle.path, card, bundle.intervals, metrics)
    return load_bundle(bundle.path)


def held_out(origin: Origin, evidence: Evidence) -> Held:
    """Read the data sets of `evidence` and check that the model has not seen their patients.

    Raises CasesError.
    """
    judge, fit = (
        [] if folder is None else read_cases(folder)
        for folder in (evidence.judge, evidence.calibrate)
    )
    for cases, option in ((judge, "--judge"), (fit, "--calibrate")):
        # Without a patient's name the file's stands for it, and many folders have an image1.png.
        named = {case.patient for case in cases if case.patient != case.name}
        if seen := named & origin.patients:
            raise CasesError(
                f"{option}: the model has learned from {len(seen)} of its {len(named)} patients. "
                "Name a data set of others."
            )
    if evidence.judge is not None and evidence.calibrate is not None:
        shared = {c.patient for c in judge if c.patient != c.name} & {c.patient for c in fit}
        same = {_picture(case) for case in judge} & {_picture(case) for case in fit} - {None}
        if shared or same:
            raise CasesError(
                f"--judge and --calibrate share {len(shared)} patients and {len(same)} images. "
                "What fits a model cannot judge it; split them by patient."
            )
    nameless = sum(case.patient == case.name for case in judge)
    words = "No patient of it was in training, validation or calibration, by name."
    if nameless:
        words += f" {nameless} of its {len(judge)} cases name no patient, so nobody can check them."
    if not origin.patients and origin.runs and any(run["folders"] for run in origin.runs):
        words = UNCHECKED
    return Held(judge, fit, words)


def _picture(case: Case) -> str | None:
    try:
        return sha256(case.path)
    except ClipError:
        return None


def _shift(config: Config, bundle: Bundle, n: int, own: list[Case]) -> tuple[float, str]:
    """Return the shift and in words what it was fitted on: patients where there are enough.

    How far outside an uncertain edge is drawn depends on the pictures.
    """
    stated = [case for case in own if case.true_mm is not None]
    if len({case.patient for case in stated}) >= FEWEST_PATIENTS:
        by = fit_shift(stated, bundle, OpenVinoRuntime(bundle))
        return by, f"{by:g}, fitted on {len(stated)} images of the data set for calibration"
    if not n or not config.data.phantoms:
        return 0.0, "0, not fitted: no phantoms, and too few patients to calibrate on"
    with phantom_cases(SHIFT_SEED, max(1, n // 2)) as cases:
        by = fit_shift(cases, bundle, OpenVinoRuntime(bundle))
    return by, f"{by:g}, fitted on {max(1, n // 2)} phantoms of renderer 1"


def _fit(
    cases: list[Case],
    bundle: Bundle,
    n: int,
    min_quality: float | None,
    fields: dict[str, Any],
    say: Callable[[str], None],
) -> IntervalTable:
    """Return the intervals; the quality limit and what both were fitted on go into `fields`."""
    runtime, fitted = OpenVinoRuntime(bundle), fields["fitted"]
    results = evaluate(cases, replace(bundle, min_quality=0.0), runtime)
    for_limit, for_intervals = share_out(results)
    if min_quality is None:
        limit, words = quality_limit(for_limit, bundle, runtime, n)
    else:
        limit, words = min_quality, "chosen by hand"
        for_intervals = results
    fields["min_quality"], fitted["min_quality"] = limit, f"{limit:g}, {words}"
    say(f"least quality: {fitted['min_quality']}.")
    remaining = below_limit(for_intervals, limit)
    table, words = intervals(remaining, replace(bundle, min_quality=limit), runtime, n)
    fitted["intervals"] = words
    fitted["millimetres_trusted"] = table != UNCALIBRATED
    say(f"intervals: {words}.")
    return table


def _judge(
    held: Held,
    evidence: Evidence,
    bundle: Bundle,
    n: int,
    fields: dict[str, Any],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Return the metrics of every set; its gallery and the held-out set go into `fields`."""
    metrics: dict[str, Any] = {}
    runtime = OpenVinoRuntime(bundle)
    model = (bundle, runtime)

    def gallery(results: list[Result], cases: list[Case]) -> None:
        fields["gallery"] = write_exhibits(bundle.path, results, cases, model, evidence.gallery)

    # Of bundles that do not say what fitted them, the worst is assumed.
    fitted = fields.get("fitted", {}).get("intervals", ON_PHANTOMS)
    second = ONLY_INTERVALS if fitted.startswith(ON_PHANTOMS) else RENDERER_2
    judging = ((Renderer.RANDOM, RENDERER_1), (Renderer.PHYSICAL, second))
    for renderer, words in judging if n else ():
        with phantom_cases(TEST_SEED, n, renderer=renderer, empty=EMPTY) as cases:
            results = evaluate(cases, bundle, runtime)
            metrics[words] = card_numbers(results)
            if not held.judge:
                gallery(results, cases)  # of the last, which is less like what it learned from
        say(f"judged on {n} {words}.")
    if held.judge and evidence.judge is not None:
        name = f"{evidence.judge.resolve().name}, kept aside"
        results = evaluate(held.judge, bundle, runtime)
        labels = label_dice(held.judge, bundle, runtime)
        metrics[name] = card_numbers(results) | {"label_dice": labels}
        people = len({case.patient for case in held.judge})
        judged = {"name": name, "cases": len(held.judge), "patients": people}
        fields["judged_on"] = judged | {"disjoint": held.words}
        gallery(results, held.judge)
        say(f"judged on {len(held.judge)} cases of {people} patients.")
    return metrics


def label_dice(cases: list[Case], bundle: Bundle, runtime: Runtime) -> dict[str, Any]:
    """Return, for every label that cases tell apart, the mean Dice of those that have it.

    With a 95 % interval over patients where there are enough; see training.labelmap for what is
    compared. Cases that cannot be read are left out: the metrics count them as failed.
    """
    found: dict[str, tuple[list[float], list[str]]] = {}
    for case in cases:
        try:
            scores = label_scores(case, bundle, runtime, case.known)
        except CasesError:
            continue
        for label, score in scores.items():
            if score is not None:
                values, patients = found.setdefault(label, ([], []))
                values.append(score)
                patients.append(case.patient)
    estimates = {
        label: bootstrap(values, patients, lambda each: float(each.mean()))
        for label, (values, patients) in found.items()
    }
    return {label: asdict(each) for label, each in estimates.items() if each is not None}
