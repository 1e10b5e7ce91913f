"""The pictures of explanations: overlays, and a panel of all methods side by side.

What speaks for the class is orange, what speaks against it blue: a pair of Okabe and Ito (2008) that the
colour-blind tell apart. Where a map is 0, the film stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumo_tf.errors import FilmError
from pneumo_tf.explain.methods import Finding
from pneumo_tf.explain.superpixels import Film, check_film, outlined
from pneumo_tf.report.charts.drawing import make_legible, style
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import PANEL
from pneumo_tf.storage import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOR, AGAINST = (230, 159, 0), (0, 114, 178)
_STRONGEST = 0.7  # opacity of the largest value: the film shows through everywhere
_COLUMNS, _CHARACTERS = 4, 32  # columns of a panel, and characters of its title over each
_DPI = 110


def write_pictures(folder: Path, film: Film, findings: Sequence[Finding], *, words: Language, title: str,
                   explained: str, lesion: NDArray[np.bool_] | None = None) -> None:
    """Write an overlay for each method, the superpixels of each LIME, and the panel of all with its title.

    `explained` is the name of the class; the lesion, bool (H, W), is shown where it is known.

    Raises:
        StorageError: No room, or no permission.
    """
    for finding in findings:
        _write_image(folder / f"{finding.method}.png", overlay(film, finding.values))
        if finding.labels is not None:
            _write_image(folder / f"{finding.method.replace('lime', 'superpixels')}.png",
                         outlined(film, finding.labels))
    with style("panel"):
        figure = explanation_panel(film, findings, words=words, title=title, explained=explained,
                                   lesion=lesion)
        make_legible(figure)
        with replacing(folder / PANEL) as temporary:
            figure.savefig(temporary, dpi=_DPI, facecolor="white")


def explanation_panel(film: Film, findings: Sequence[Finding], *, words: Language, title: str,
                      explained: str, lesion: NDArray[np.bool_] | None = None) -> Figure:
    """The film beside what each method finds on it, with the figures that judge it; as `write_pictures`."""
    pictures = [Picture(film, words.say("explain.film"), has_scale=False)]
    if lesion is not None:
        pictures.append(Picture(outlined(film, lesion.astype(np.int32)), words.say("explain.lesion"),
                                has_scale=False))
    for finding in findings:  # an explanation that isn't to be shown leaves the film without colours
        is_shown = finding.verdict == "shown"
        pictures.append(Picture(overlay(film, finding.values) if is_shown else film,
                                words.named("explain.method", finding.method), note(finding, words),
                                has_scale=is_shown))
    return panel(pictures, title=title, for_label=words.say("explain.for", label=explained),
                 against_label=words.say("explain.against"))


def overlay(film: Film, values: NDArray[np.floating]) -> Film:
    """A map, float (H, W) in [-1, 1], over its film, both films uint8 (H, W, 3).

    Raises:
        FilmError: A map of another size, or beyond [-1, 1].
    """
    check_film(film)
    if values.shape != film.shape[:2] or not (np.abs(values) <= 1).all():
        raise FilmError("A map over a film must have its size and values from -1 to 1.",
                        received=f"{values.shape} with values from {values.min():.3g} to {values.max():.3g} "
                                 f"for a film {film.shape[:2]}")
    opacity = _STRONGEST * np.abs(values)[..., None]
    colour = np.where(values[..., None] >= 0, np.array(FOR), np.array(AGAINST))
    return np.rint((1 - opacity) * film + opacity * colour).astype(np.uint8)


@dataclass(frozen=True)
class Picture:
    """One frame of a panel: a film or overlay, its title, and the note under it."""

    image: Film
    title: str
    note: str = ""
    has_scale: bool = True


def note(finding: Finding, words: Language) -> str:
    """The lines under a picture."""
    numbers, lines = finding.numbers, []
    if finding.verdict != "shown":
        lines.append(words.say(f"explain.verdict.{finding.verdict}"))
    if numbers.get("r2") is not None:
        lines.append(words.say("explain.note.lime", r2=words.number(numbers["r2"], 2),
                               samples=words.number(numbers["samples"]),
                               halves=words.number(numbers["halves_spearman"], 2)))
    if "deletion" in numbers:
        lines.append(words.say("explain.note.curves", deletion=words.number(numbers["deletion"], 2),
                               insertion=words.number(numbers["insertion"], 2)))
    if numbers.get("mass_in_lungs") is not None:
        lines.append(words.say("explain.note.lungs", mass=words.percent(numbers["mass_in_lungs"], 0),
                               share=words.percent(numbers["lungs_share"], 0)))
    if numbers.get("beside_lungs"):
        lines.append(words.say("explain.note.beside"))
    if numbers.get("mass_inside") is not None:
        lines.append(words.say("explain.note.lesion", mass=words.percent(numbers["mass_inside"], 0),
                               points="✓" if numbers["points_inside"] else "✗"))
    return "\n".join(lines)


def panel(pictures: Sequence[Picture], *, title: str, for_label: str, against_label: str) -> Figure:
    """Pictures side by side under one title, with the scale that the overlays share."""
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    title = fill(title, _CHARACTERS * columns)
    figure = Figure(figsize=(3.0 * columns, 3.55 * rows + 0.9 + 0.2 * len(title.splitlines())),
                    layout="constrained")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, picture in zip(grid, pictures, strict=False):
        axes.imshow(picture.image, interpolation="nearest")
        axes.set_title(picture.title, fontsize=10, loc="left")
        axes.set_xlabel(picture.note, fontsize=8, loc="left")
        axes.set(xticks=[], yticks=[])
    for axes in grid[len(pictures):]:
        axes.set_axis_off()
    if any(picture.has_scale for picture in pictures):
        _draw_scale(figure, list(grid), for_label=for_label, against_label=against_label)
    return figure


def _draw_scale(figure: Figure, grid: list[Axes], *, for_label: str, against_label: str) -> None:
    """A bar from against to for, in the colours as they are over mid-grey."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    grey = np.full((1, 201, 3), 128, np.uint8)
    colours = overlay(grey, np.linspace(-1, 1, 201)[None])[0] / 255
    bar = figure.colorbar(ScalarMappable(Normalize(-1, 1), ListedColormap(colours)), ax=grid,
                          location="bottom", shrink=0.6, aspect=50, pad=0.02)
    bar.set_ticks([-1, -0.5, 0, 0.5, 1],
                  labels=[f"-1\n{against_label}", "-0.5", "0", "0.5", f"1\n{for_label}"])
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def _write_image(path: Path, image: Film) -> None:
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary)
