"""What a card knows of the items of the checklist, in sentences. Pure functions of the card."""

from collections.abc import Iterable
from typing import Any

Card = dict[str, Any]


def counted(n: int, what: str) -> str:
    """Return a number with its noun, which takes an s from two on."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def listed(counts: dict[str, Any]) -> str:
    """Return "a 3, b 5"."""
    return ", ".join(f"{name} {number}" for name, number in counts.items())


def runs(card: Card) -> list[Card]:
    """Return the facts of the runs that the weights come from; none in cards of before."""
    found: list[Card] = card.get("runs") or []
    return found


def _joined(parts: Iterable[str | None]) -> str | None:
    return " ".join(part for part in parts if part) or None


def sources(card: Card) -> str | None:
    """Where the pictures come from."""
    said = [str(card["training_data"])] if card.get("training_data") else []
    for run in runs(card):
        for name, side in run["data"].items():
            if not side.get("images"):
                continue
            text = (
                f"{name.capitalize()}: {counted(side['images'], 'image')} of "
                f"{counted(side['patients'], 'patient')}"
            )
            if side.get("sources"):
                text += f" (sources: {listed(side['sources'])})"
            said.append(f"{text}; sha256 of what the network was shown {side.get('sha256')}.")
        if run.get("data_not_described"):
            said.append(f"Sources and annotators unknown: {run['data_not_described']}.")
    return _joined(said)


def preprocessing(card: Card) -> str | None:
    """How an image becomes what the network sees."""
    grid = card["grid"]
    return (
        "The B-mode image is found in the frame, burned-in graphics are filled from their "
        f"surroundings, the luma is resampled to {grid['size']} x {grid['size']} pixels of "
        f"{grid['mm_per_px']:g} mm (an image without a scale is shown as if it were 65 mm deep), "
        "and normalised to zero mean and unit standard deviation inside the sector, clipped at 4."
    )


def subsets(card: Card) -> str | None:
    """What of the data was used."""
    if not runs(card):
        return None
    left = [
        side["images"] for run in runs(card) for side in run["data"].values() if side.get("images")
    ]
    return "The annotated frame of each item; no other selection." if left else None


def annotations(card: Card) -> str | None:
    """Who drew, as numbers."""
    said = []
    for run in runs(card):
        for name, side in run["data"].items():
            if "annotators" not in side:
                continue
            each = ", ".join(str(n) for n in side["annotators"])
            text = f"{name.capitalize()}: {counted(len(side['annotators']), 'annotator')}"
            text += f" (images each: {each})" if each else ""
            if side.get("without_annotator"):
                text += f"; {counted(side['without_annotator'], 'image')} name none"
            text += f"; labels told apart: {listed(side['labels'])}."
            said.append(text)
    return _joined(said)


def partitions(card: Card) -> str | None:
    """How training and validation were told apart."""
    said = []
    for run in runs(card):
        aside = run["config"]["data"].get("validation")
        if not run["folders"]:
            said.append("Simulated pictures only; no validation images.")
        elif isinstance(aside, str):
            said.append("Validation images are a data set of their own.")
        else:
            said.append(
                f"{float(aside or 0):.0%} of the patients were kept aside to choose the weights, "
                f"by a hash of their names and the seed {run['config'].get('seed')}."
            )
    judged = card.get("judged_on") or {}
    if judged.get("cases"):
        said.append(
            f"{counted(judged['cases'], 'case')} of {counted(judged['patients'], 'patient')} "
            "were kept for judging alone."
        )
    return _joined(dict.fromkeys(said))


def disjoint(card: Card) -> str | None:
    """At what level the parts are disjoint."""
    if not runs(card):
        return None
    both = sum(run["patients_on_both_sides"] for run in runs(card))
    said = [
        "By patient: none is on both sides of a run."
        if not both
        else f"{counted(both, 'patient')} are on both sides of a run."
    ]
    sides = [side for run in runs(card) for side in run["data"].values()]
    if any(side.get("patients_named") is False for side in sides):
        said.append(
            "Some images name no patient; each of them counts as a patient of its own, so images "
            "of one person may be on both sides."
        )
    if card.get("judged_on"):
        said.append(str(card["judged_on"]["disjoint"]))
    return _joined(said)


def sample_size(card: Card) -> str | None:
    """How many cases judge."""
    sets = {name: group.get("n") for name, group in card["metrics"].items()}
    return f"Not planned; there were: {listed(sets)}." if sets else None


def model(card: Card) -> str | None:
    """The network."""
    found, labels = card["architecture"], card["labels"]
    return (
        f"{found.get('family', 'U-Net')} in two dimensions, channels {found['channels']}, strides "
        f"{found['strides']}, {found['num_res_units']} residual units per level, "
        f"{found.get('norm', 'INSTANCE').lower()} normalisation, one grey channel in, "
        f"{counted(len(labels), 'label')} out ({', '.join(labels)}) with a softmax; a picture and "
        "its mirror image are averaged."
    )


def software(card: Card) -> str | None:
    """What it was trained with."""
    versions = [run["versions"] for run in runs(card) if run.get("versions")]
    return f"{listed(versions[0])}." if versions else None


def start(card: Card) -> str | None:
    """Where the first weights come from."""
    found = [
        "random, by the seed"
        if run.get("start_sha256") is None
        else f"another model's, sha256 of its values {run['start_sha256']}"
        for run in runs(card)
    ]
    return f"First weights: {'; '.join(dict.fromkeys(found))}." if found else None


def training(card: Card) -> str | None:
    """How it was trained."""
    if not runs(card):
        return None
    config = runs(card)[0]["config"]
    tables = [
        f"{name}: {listed(table)}"
        for name, table in config.items()
        if isinstance(table, dict) and name not in ("data", "run")
    ]
    return (
        f"{config['steps']} steps of {config['batch']} pictures, {runs(card)[0]['phantoms']:.0%} "
        f"simulated. AdamW. {'. '.join(tables)}. Flips, turns, zoom, gamma, blur and noise vary a "
        "picture each time it is seen."
    )


def selection(card: Card) -> str | None:
    """How the final weights were chosen."""
    said = []
    for run in runs(card):
        table = run["config"].get("run", {})
        said.append(f"Running average of the weights; selection: {table.get('selection')}.")
        if rows := run.get("validation"):
            last = {name: round(value, 4) for name, value in rows[-1].items()}
            said.append(f"Last validation: {listed(last)}.")
    return _joined(dict.fromkeys(said))


def ensembling(card: Card) -> str | None:
    """Whether there are several networks."""
    members = card["architecture"].get("members", 1)
    if members > 1:
        return f"{members} networks; the mean of their probabilities counts."
    return "One network."


def evaluation_data(card: Card) -> str | None:
    """On what it was judged inside."""
    sets = [name for name in card["metrics"] if name != judged_name(card)]
    return f"Judged on {'; '.join(sets)}." if sets else None


def internal_or_external(card: Card) -> str | None:
    """On what it was judged besides."""
    judged = card.get("judged_on")
    if not judged:
        return "None: it was judged on no data set of patients that it never saw."
    return (
        f"{counted(judged['cases'], 'case')} of {counted(judged['patients'], 'patient')} that "
        "were kept aside; whether they are of another place, only people can say."
    )


def judged_name(card: Card) -> str | None:
    """Return the name, among the metrics, of the data set that was kept aside."""
    judged = card.get("judged_on")
    return judged["name"] if judged else None


def flow(card: Card) -> str | None:
    """What became of the cases."""
    said = [
        f"{name}: {group['n']} cases, {group.get('visible', '?')} with an endometrium to be seen, "
        f"{group.get('measured', 0)} measured, {group.get('failed', 0)} not readable."
        for name, group in card["metrics"].items()
        if "n" in group
    ]
    return _joined(said)


def performance(card: Card) -> str | None:
    """Where the numbers are."""
    return "The tables above." if card["metrics"] else None


def failures(card: Card) -> str | None:
    """Where it failed worst."""
    shown = card.get("gallery") or []
    if not shown:
        return None
    return f"The {counted(len(shown), 'case')} that went worst are in the gallery below."


def limits(card: Card) -> str | None:
    """What it does badly."""
    return card.get("known_failures") or None
