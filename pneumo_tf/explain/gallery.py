"""What is written of explanations: overlays, a panel of all methods, and the numbers as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumo_tf.explain.methods import Finding
from pneumo_tf.explain.overlay import Picture, overlay, panel
from pneumo_tf.explain.superpixels import Film, outlined
from pneumo_tf.report.charts.drawing import style
from pneumo_tf.report.sections.explanations import sentence
from pneumo_tf.report.words import Language
from pneumo_tf.storage import replacing

FOLDER, RECORD, PANEL = "explanations", "explanations.json", "panel.png"
_DPI = 110


@dataclass(frozen=True)
class Explained:
    """One film with what every method says of it.

    Attributes:
        name: Its id, or its file's name.
        film: uint8 (H, W, 3).
        label: Its true class; "" where unknown.
        predicted: The class it is given.
        explained: The class that is explained.
        score: Of the explained class.
        findings: By method.
        lesion: bool (H, W), where it is known.
    """

    name: str
    film: Film
    label: str
    predicted: str
    explained: str
    score: float
    findings: Sequence[Finding]
    lesion: NDArray[np.bool_] | None = None


def write_film(folder: Path, explained: Explained, words: Language) -> dict[str, Any]:
    """Write one film's pictures into a folder of its own.

    Args:
        folder: The folder of all explanations.
        explained: The film.
        words: The language of titles and notes.

    Returns:
        What is known of the film, as JSON holds it; paths relative to `folder`.

    Raises:
        StorageError: No room, or no permission.
    """
    place = re.sub(r"[^\w.-]", "_", explained.name)
    for finding in explained.findings:
        _write_image(folder / place / f"{finding.method}.png", overlay(explained.film, finding.values))
        if finding.labels is not None:
            _write_image(folder / place / f"{finding.method.replace('lime', 'superpixels')}.png",
                         outlined(explained.film, finding.labels))
    with style("panel"):
        figure = panel(_pictures(explained, words), title=sentence(vars(explained), words),
                       for_label=words.say("explain.for", label=explained.explained),
                       against_label=words.say("explain.against"))
        with replacing(folder / place / PANEL) as temporary:
            figure.savefig(temporary, dpi=_DPI, facecolor="white")
    return {"name": explained.name, "label": explained.label, "predicted": explained.predicted,
            "explained": explained.explained, "score": explained.score, "panel": f"{place}/{PANEL}",
            "methods": {finding.method: {"verdict": finding.verdict, **finding.numbers}
                        for finding in explained.findings}}


def _pictures(explained: Explained, words: Language) -> list[Picture]:
    film = Picture(explained.film, words.say("explain.film"), has_scale=False)
    lesion = [] if explained.lesion is None else [
        Picture(outlined(explained.film, explained.lesion.astype(np.int32)), words.say("explain.lesion"),
                has_scale=False)]
    return [film, *lesion, *(_picture(explained.film, finding, words) for finding in explained.findings)]


def _picture(film: Film, finding: Finding, words: Language) -> Picture:
    """An overlay with what judges it; a film without colours where the explanation mustn't be shown."""
    is_shown = finding.verdict == "shown"
    image = overlay(film, finding.values) if is_shown else film
    return Picture(image, words.say(f"explain.method.{finding.method}"), note(finding, words),
                   has_scale=is_shown)


def note(finding: Finding, words: Language) -> str:
    """The lines under a picture."""
    numbers, lines = finding.numbers, []
    if finding.verdict != "shown":
        lines.append(words.say(f"explain.verdict.{finding.verdict}"))
    if numbers.get("r2") is not None:
        lines.append(words.say("explain.note.lime", r2=words.number(numbers["r2"], 2),
                               samples=words.number(numbers["samples"]),
                               halves=words.number(numbers["halves_spearman"], 2)))
    lines.append(words.say("explain.note.curves", deletion=words.number(numbers["deletion"], 2),
                           insertion=words.number(numbers["insertion"], 2)))
    if numbers.get("mass_inside") is not None:
        lines.append(words.say("explain.note.lesion", mass=words.percent(numbers["mass_inside"], 0),
                               points="✓" if numbers["points_inside"] else "✗"))
    return "\n".join(lines)


def _write_image(path: Path, image: Film) -> None:
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary)
