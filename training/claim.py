"""The checklist that a model card goes through: CLAIM, as updated in 2024.

Tejani et al., Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update, Radiol
Artif Intell 2024;6(4):e240300; first Mongan, Moy and Kahn, Radiol Artif Intell 2020;2(2):e200029.
Numbers are those of 2024. What training knows is said from the card; what only people know is taken
from the text that they give (`about.toml`), and is called not stated where they gave none.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.claim_words import (
    annotations,
    disjoint,
    ensembling,
    evaluation_data,
    failures,
    flow,
    internal_or_external,
    limits,
    model,
    partitions,
    performance,
    preprocessing,
    sample_size,
    selection,
    software,
    sources,
    start,
    subsets,
    training,
)

Card = dict[str, Any]
NOT_STATED = "Not stated."
LONGEST = 5000


class AboutError(ValueError):
    """The file with what only people know cannot be used; the message says which field."""


@dataclass(frozen=True)
class Item:
    """One item of the checklist. `field` is its text in about.toml; `says` what the card knows."""

    number: int
    section: str
    name: str
    field: str | None = None
    says: Callable[[Card], str | None] | None = None


def _fixed(text: str) -> Callable[[Card], str | None]:
    return lambda _: text


ITEMS: tuple[Item, ...] = (
    Item(
        1,
        "Title",
        "Category of technology",
        says=_fixed(
            "Deep learning: a convolutional network (U-Net) that segments ultrasound images; the "
            "thickness is measured on its outline by geometry, without learning."
        ),
    ),
    Item(
        3,
        "Introduction",
        "Background, intended use and role",
        "intended_use",
        _fixed(
            "Research: measuring the endometrium on transvaginal ultrasound for people who check "
            "every number. Not a medical device, for no clinical decision."
        ),
    ),
    Item(4, "Introduction", "Aims and hypotheses", "aims"),
    Item(5, "Study design", "Prospective or retrospective", "study_design"),
    Item(
        6,
        "Study design",
        "Study goal",
        "study_goal",
        _fixed("Creating a model and judging it; no claim about outcomes of patients."),
    ),
    Item(7, "Data", "Data sources", "data_sources", sources),
    Item(8, "Data", "Inclusion and exclusion criteria", "eligibility"),
    Item(9, "Data", "Preprocessing", None, preprocessing),
    Item(10, "Data", "Selection of data subsets", "subsets", subsets),
    Item(
        11,
        "Data",
        "De-identification",
        "deidentification",
        _fixed(
            "Training sees pixels inside the B-mode image only. Of patients the card has counts; "
            "the pictures of the gallery are cut to the outlines and numbered."
        ),
    ),
    Item(
        12,
        "Data",
        "Missing data",
        "missing_data",
        _fixed(
            "Images on which nobody drew what they show are left out; a file that cannot be read "
            "stops training before it begins. In judging it counts as failed."
        ),
    ),
    Item(13, "Data", "Image acquisition protocol", "acquisition"),
    Item(
        14,
        "Reference standard",
        "Definition",
        "reference_standard",
        _fixed(
            "Outlines drawn on single frames; of phantoms the geometry that they were made of. The "
            "true thickness is measured on the outline with the geometry that measures scans."
        ),
    ),
    Item(15, "Reference standard", "Rationale", "reference_rationale"),
    Item(16, "Reference standard", "Source of annotations", "annotators", annotations),
    Item(17, "Reference standard", "Annotation of the test set", "test_annotation"),
    Item(18, "Reference standard", "Agreement between and within readers", "reader_agreement"),
    Item(19, "Data partitions", "How data were assigned", "partitions", partitions),
    Item(20, "Data partitions", "Level at which they are disjoint", "disjoint", disjoint),
    Item(21, "Testing data", "Intended sample size", "sample_size", sample_size),
    Item(22, "Model", "Description", "model", model),
    Item(23, "Model", "Software", "software", software),
    Item(24, "Model", "Initialisation", "initialisation", start),
    Item(25, "Training", "Training approach", "training", training),
    Item(26, "Training", "Selection of the final model", "selection", selection),
    Item(27, "Training", "Ensembling", None, ensembling),
    Item(
        28,
        "Evaluation",
        "Metrics",
        None,
        _fixed(
            "Dice of the outline, share outlined and measured in the right place, error of the "
            "thickness in mm, share refused, share measured where there is nothing, share of "
            "intervals that hold the truth."
        ),
    ),
    Item(
        29,
        "Evaluation",
        "Statistical measures",
        None,
        _fixed(
            "95 % intervals: Wilson's for shares, percentile bootstrap over patients (1000 "
            "samples) for the others, none below 8 patients."
        ),
    ),
    Item(30, "Evaluation", "Robustness and sensitivity", "robustness"),
    Item(
        31,
        "Evaluation",
        "Explainability",
        None,
        _fixed(
            "The command endometer explain says where the scale comes from and every doubt that "
            "the quality is made of; the outline and the calipers are drawn over the frame."
        ),
    ),
    Item(32, "Evaluation", "Internal data", "internal_testing", evaluation_data),
    Item(33, "Evaluation", "External data", "external_testing", internal_or_external),
    Item(34, "Evaluation", "Clinical trial registration", "registration"),
    Item(35, "Results", "Numbers included and excluded", "flow", flow),
    Item(36, "Results", "Characteristics of cases", "demographics"),
    Item(37, "Results", "Performance", "performance", performance),
    Item(38, "Results", "Diagnostic accuracy", "accuracy"),
    Item(39, "Results", "Failure analysis", "failure_analysis", failures),
    Item(40, "Discussion", "Limits", "limitations", limits),
    Item(41, "Discussion", "Implications for practice", "implications"),
    Item(42, "Other", "Protocol and technical details", "protocol"),
    Item(
        43,
        "Other",
        "Availability of software, model and data",
        "availability",
        lambda card: (
            f"Weights under {card.get('licence', 'a licence that the card does not name')}."
        ),
    ),
    Item(44, "Other", "Funding", "funding"),
)
FIELDS: dict[str, Item] = {item.field: item for item in ITEMS if item.field}
KNOWN_FAILURES = "known_failures"


def statements(card: Card) -> list[tuple[Item, str | None]]:
    """Return what the card says to every item, None where it says nothing.

    The words of people come first, then what is known from the card.
    """
    about = card.get("about") or {}
    found = []
    for item in ITEMS:
        # What people say stands before what the program knows.
        texts = [about.get(item.field) if item.field else None]
        texts.append(item.says(card) if item.says else None)
        found.append((item, " ".join(text for text in texts if text) or None))
    return found


def claim(card: Card) -> list[dict[str, Any]]:
    """Return the checklist as plain data, for the card: number, section, item, text or None."""
    return [
        {"number": item.number, "section": item.section, "item": item.name, "text": text}
        for item, text in statements(card)
    ]


def read_about(path: Path) -> dict[str, str]:
    """Read about.toml: texts for items that only people can tell, each by its field.

    Raises AboutError for a field that is unknown, empty or no text.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise AboutError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise AboutError(f"{path} is no TOML file: {error}.") from None
    known = [*FIELDS, KNOWN_FAILURES]
    for name, text in values.items():
        if name not in known:
            raise AboutError(f"{path}: {name} is unknown; known are {', '.join(known)}.")
        if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
            raise AboutError(f"{path}: {name} must be a text of 1 to {LONGEST} characters.")
    return {name: " ".join(text.split()) for name, text in values.items()}


def template() -> str:
    """Return an about.toml to fill in: every field with its item, commented out."""
    lines = [
        "# What only people know of a model: take the # away and fill in. docs/bundles.md",
        f'# {KNOWN_FAILURES} = "What it does badly."',
    ]
    lines += [f'# {name} = ""  # CLAIM {item.number}: {item.name}' for name, item in FIELDS.items()]
    return "\n".join(lines) + "\n"
