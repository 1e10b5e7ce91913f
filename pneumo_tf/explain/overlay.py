"""Maps drawn over films, in colours that the colour-blind tell apart, always with their scale.

What speaks for the class is orange, what speaks against it blue: the pair of Okabe and Ito (2008). Where a
map says nothing, the film stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import FilmError
from pneumo_tf.explain.superpixels import Film, check_film

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOR, AGAINST = (230, 159, 0), (0, 114, 178)
_STRONGEST = 0.7  # opacity of the largest value: the film shows through everywhere
_COLUMNS = 4


def overlay(film: Film, values: NDArray[np.floating]) -> Film:
    """A map over its film.

    Args:
        film: uint8 (H, W, 3).
        values: float (H, W) in [-1, 1] (a heatmap in [0, 1] is one too).

    Returns:
        uint8 (H, W, 3).

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


def scaled(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """A map divided by its largest size, so that it lies in [-1, 1]."""
    largest = np.abs(values).max()
    return (values / largest if largest > 0 else values).astype(np.float32)


@dataclass(frozen=True)
class Picture:
    """One frame of a panel: a film or overlay, its title, and what is to be known of it."""

    image: Film
    title: str
    note: str = ""
    has_scale: bool = True


def panel(pictures: Sequence[Picture], *, title: str, for_label: str, against_label: str) -> Figure:
    """Pictures side by side under one title, with the scale that the overlays share."""
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(3.0 * columns, 3.55 * rows + 1.1), layout="constrained")
    figure.suptitle(title, fontsize=12, x=0.01, ha="left")
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
