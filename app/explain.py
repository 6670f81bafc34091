"""Why a clip got its number, or none: what `endometer explain` says."""

from pathlib import Path
from typing import Any

from rich.table import Table

from app.report import Screen, line, one_result
from inference.clip import MeasuredClip
from inference.focal import WIDER
from inference.records import Status
from models.bundle import Bundle


def facts_of(clip: MeasuredClip, bundle: Bundle) -> dict[str, Any]:
    """Return what there is to say about a measured clip, as plain data.

    `parts` is empty where nothing was outlined that could be judged.
    """
    record, best = clip.record, clip.record.best
    finding = clip.findings.get(best.frame) if best.frame is not None else None
    parts = finding.quality.parts if finding else ()
    return {
        "file": Path(record.file).name,
        "frame": best.frame,
        "frames": record.frames,
        "frames_tried": len(clip.frames),
        "status": str(best.status),
        "reason": best.reason,
        "message": best.message,
        "fluid": best.fluid,
        "thickness_mm": best.thickness_mm,
        "call": best.call,
        "calibration": best.calibration,
        "row_mm": best.row_mm,
        "column_mm": best.column_mm,
        "quality": best.quality,
        "least_quality": bundle.min_quality,
        "parts": [
            {
                "name": part.policy.name,
                "score": part.score,
                "meaning": part.policy.meaning,
                "weakness": part.policy.weakness,
            }
            for part in parts
        ],
        "signs": [
            {"name": sign.name, "meaning": sign.meaning, "words": sign.words}
            for sign in (finding.signs if finding else ())
        ],
        "spread_mm": finding.spread_mm if finding else None,
        "lower_mm": best.lower_mm,
        "upper_mm": best.upper_mm,
        "wider_for": list(finding.unlike) if finding else [],
        "interval_nominal": bundle.intervals.nominal,
        "frames_measured": record.frames_measured,
        "frames_median_mm": record.frames_median_mm,
        "frames_iqr_mm": record.frames_iqr_mm,
        "bundle": bundle.name,
    }


def print_explanation(clip: MeasuredClip, bundle: Bundle) -> None:
    """Print for people what `facts_of` returns."""
    screen, facts = Screen(), facts_of(clip, bundle)
    screen.print(one_result(clip.record), soft_wrap=True)
    if facts["message"] and clip.record.best.status is not Status.FAILED:
        screen.print(line(facts["message"]), soft_wrap=True)
    if facts["calibration"]:
        screen.print(
            f"Scale: {facts['row_mm']:.4f} x {facts['column_mm']:.4f} mm per pixel (row, column), "
            f"from {facts['calibration']}.",
            soft_wrap=True,
        )
    if facts["parts"]:
        table = Table("doubt", "score", "what it looks at", box=None, pad_edge=False)
        table.columns[1].justify = "right"
        for part in facts["parts"]:
            table.add_row(part["name"], f"{part['score']:.2f}", part["meaning"])
        screen.print(table)
        screen.print(
            f"Quality {facts['quality']:.2f}, the product of these; {facts['least_quality']:.2f} "
            f"is needed for a number.",
            soft_wrap=True,
        )
    elif clip.record.best.status is not Status.FAILED:
        screen.print("There is no outline whose quality could be judged.")
    if facts["lower_mm"] is not None:
        wider = ""
        if facts["wider_for"]:
            reasons = " and ".join(facts["wider_for"])
            wider = f" This one reaches {WIDER:g} times as far, because of {reasons}."
        screen.print(
            f"Interval: {facts['lower_mm']:.1f} to {facts['upper_mm']:.1f} mm. In calibration "
            f"those of thicknesses like this one whose interfaces are drawn as softly (over "
            f"{facts['spread_mm']:.1f} mm) held at least {facts['interval_nominal']:.0%} of "
            f"truths.{wider}",
            soft_wrap=True,
        )
    if (facts["frames"] or 1) > 1 and facts["frames_median_mm"] is not None:
        tried = ""
        if facts["frames_tried"] < facts["frames"]:
            tried = f" ({facts['frames_tried']} tried, the others looked worse)"
        screen.print(
            f"Frames: {facts['frames_measured']} of {facts['frames']} measured{tried}, median "
            f"{facts['frames_median_mm']:.1f} mm, interquartile range "
            f"{facts['frames_iqr_mm']:.1f} mm; frame {facts['frame']} was chosen for its quality "
            "and its agreement with the frames beside it.",
            soft_wrap=True,
        )
