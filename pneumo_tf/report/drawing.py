"""How figures look, and how one drawing becomes an SVG for the page and a PNG for the folder."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumo_tf.storage import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The light palette, and the page's variable for each: the SVG follows the reader's light or dark mode.
# Series colours are told apart by the colour-blind too (Okabe and Ito 2008); dashes tell them apart in grey.
INK, FAINT = "#20262d", "#d9dee3"
SERIES = ("#0b62a8", "#c24e00", "#00795a", "#a3457d", "#8a6d00", "#4b5563")
_VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)",
              **{colour: f"var(--series-{index})" for index, colour in enumerate(SERIES, start=1)}}


@contextmanager
def style(name: str = "figure") -> Iterator[None]:
    """Matplotlib's settings for drawing and saving; class names are text, never mathematics."""
    import matplotlib

    settings: Any = {
        "svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False, "font.family": "sans-serif",
        "font.size": 10, "text.color": INK, "axes.labelcolor": INK, "xtick.labelcolor": INK,
        "ytick.labelcolor": INK, "xtick.color": FAINT, "ytick.color": FAINT, "axes.grid": True,
        "axes.axisbelow": True, "grid.color": FAINT, "grid.linewidth": 0.6, "lines.linewidth": 2,
        "axes.titlesize": 11}
    with matplotlib.rc_context(settings):
        yield


def drawn(name: str, draw: Callable[[], Figure | None], folder: Path) -> str | None:
    """Draw a figure, write `folder/name.png`, and give its SVG for the page; None where there is none."""
    with style(name):
        figure = draw()
        if figure is None:
            return None
        with replacing(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=160, facecolor="white")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return for_page(buffer.getvalue(), name)


def for_page(svg: str, name: str) -> str:
    """Make a matplotlib SVG fit to stand in the page: its colours, its fonts, ids that are its own."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'<svg [^>]*?width="([\d.]+)pt"[^>]*? viewBox="([^"]*)"[^>]*>',
                 r'<svg viewBox="\2" style="max-width:\1pt" aria-hidden="true">', svg, count=1)
    # Older versions of matplotlib write the shorthand "font: 10px …".
    svg = re.sub(r"(font-family: |font: [^;\"]*?px )[^;\"]*", r"\1var(--font)", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
