"""How figures look, and how one drawing becomes an SVG for the page and a PNG for the folder."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from pneumo_tf.report.words import Language
from pneumo_tf.storage import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The light palette, and the page's variable for each: the SVG follows the reader's light or dark mode.
# Series colours are told apart by the colour-blind too (Okabe and Ito 2008); dashes tell them apart in grey.
INK, FAINT = "#20262d", "#d9dee3"
SERIES = ("#0b62a8", "#c24e00", "#00795a", "#a3457d", "#8a6d00", "#4b5563")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)",
              **{colour: f"var(--series-{index})" for index, colour in enumerate(SERIES, start=1)}}
_NAMESPACES = ("{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}")
# matplotlib's style sheet would style the whole page: what it says stands on the drawing itself instead.
_DROPPED = ("metadata", "style")
_JOINS = {"stroke-linejoin": "round", "stroke-linecap": "butt"}


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


def new_axes(words: Language, *, width: float, height: float,
             significant: int = 4) -> tuple[Figure, Axes]:
    """A figure of one plot, its sides in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, dressed(figure.add_subplot(), words, significant=significant)


def dressed(axes: Axes, words: Language, *, significant: int = 4) -> Axes:
    """No box around, and numbers in the reader's language with no more decimals than a tick has."""
    from matplotlib.ticker import FuncFormatter

    without_box(axes)
    formatter = FuncFormatter(lambda value, _: words.short(value, significant))
    axes.xaxis.set_major_formatter(formatter)
    axes.yaxis.set_major_formatter(formatter)
    return axes


def without_box(axes: Axes) -> None:
    """Faint axes on the left and below only."""
    axes.spines[:].set_color(FAINT)
    axes.spines[["top", "right"]].set_visible(False)


def drawn(name: str, draw: Callable[[], Figure], folder: Path) -> Markup:
    """Draw a figure, write `folder/name.png`, and give its SVG for the page.

    A name that no installed font can write is a letter in the PNG; below the SVG, whose fonts are the
    reader's, stands what the letters mean.
    """
    with style(name), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # those of the SVG are the reader's
        figure = draw()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        letters = make_legible(figure)
        with replacing(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=160, facecolor="white")
    key = "; ".join(f"{letter} = {written}" for written, letter in letters.items())
    return Markup(for_page(buffer.getvalue(), name)) + \
        (Markup('<small class="quiet">{}.png: {}</small>').format(name, key) if key else "")


def make_legible(figure: Figure) -> dict[str, str]:
    """Give every text of a figure fonts that can write it; what none can write becomes a letter.

    Returns:
        The letter, A, B, C …, that stands for what can't be written.
    """
    from matplotlib.text import Text

    letters: dict[str, str] = {}
    for text in figure.findobj(Text):
        families, missing = _fonts_for(frozenset(text.get_text()))
        text.set_fontfamily(families)
        if missing:
            text.set_text(re.sub(f"[{re.escape(missing)}]+",
                                 lambda run: letters.setdefault(run[0], chr(ord("A") + len(letters) % 26)),
                                 text.get_text()))
    return letters


@cache
def _fonts_for(signs: frozenset[str]) -> tuple[tuple[str, ...], str]:
    """The installed fonts that write some signs between them, the usual one first, and the signs without."""
    from matplotlib.font_manager import fontManager, get_font

    families, missing = ["DejaVu Sans"], {sign for sign in signs if sign.isprintable()}
    # The last resort has a box for every sign.
    listed = [font for font in fontManager.ttflist if not font.name.startswith("Last Resort")]
    for font in sorted(listed, key=lambda font: (font.name != "DejaVu Sans", font.style != "normal",
                                                 font.weight != 400, font.name)):
        if not missing:
            break
        try:
            able = {sign for sign in missing if get_font(font.fname).get_char_index(ord(sign))}
        except (OSError, RuntimeError):
            continue  # listed, but gone or not a font that can be opened
        if able and font.name not in families:
            families.append(font.name)
        missing -= able
    return tuple(families), "".join(sorted(missing))


def for_page(svg: str, name: str) -> str:
    """Make a matplotlib SVG fit to stand in the page: its colours, its fonts, ids that are its own.

    Only attributes are changed, so that a class named like a colour or an id keeps its name.
    """
    # XML has no sign for these, and a label from a table may hold them.
    svg = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", svg[svg.index("<svg"):])
    root = ElementTree.fromstring(svg)
    for element in list(root.iter()):
        for child in [child for child in element if _plain(child.tag) in _DROPPED]:
            element.remove(child)
        element.tag = _plain(element.tag)
        element.attrib = {_plain(key): _for_page(_plain(key), value, name)
                          for key, value in element.attrib.items()}
    root.attrib = {"viewBox": root.attrib["viewBox"], "style": f"max-width:{root.attrib['width']}",
                   "aria-hidden": "true", **_JOINS}
    return ElementTree.tostring(root, encoding="unicode")


def _plain(name: str) -> str:
    for namespace in _NAMESPACES:
        name = name.removeprefix(namespace)
    return name


def _for_page(key: str, value: str, name: str) -> str:
    """An attribute with the page's colours and fonts, and ids that no other drawing has."""
    if key == "id":
        return f"{name}-{value}"
    value = re.sub(r"^#(?=[\w-]+$)", f"#{name}-", value) if key == "href" else value
    value = value.replace("url(#", f"url(#{name}-")
    # Older versions of matplotlib write the shorthand "font: 10px …".
    value = re.sub(r"(font-family: |font: [^;]*?px )[^;]*", r"\1var(--font)", value)
    for colour, variable in _VARIABLES.items():
        value = value.replace(colour, variable)
    return value
