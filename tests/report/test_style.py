"""The page's colours can be told apart: WCAG 2.2, contrast of at least 4.5 for text and 3 for drawings."""

import re
from itertools import product
from pathlib import Path

import pytest

import pneumo_tf.report

CSS = (Path(pneumo_tf.report.__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
GROUNDS = ("page", "card", "soft", "alarm", "caution", "good", "note")
SERIES = tuple(f"series-{number}" for number in range(1, 7))
# Where text is written in a colour of the series: links, verdicts, what was dropped.
COLOURED_TEXT = ("series-1", "series-2")


def palettes() -> dict[str, dict[str, str]]:
    """The colours by name of the light page, the dark one and the printed one."""
    light, dark, printed = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block))
                            for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL))
    return {"light": light, "dark": light | dark, "print": light | printed}


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_wcag_says():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("mode", ["light", "dark", "print"])
def test_text_can_be_read_on_every_ground(mode):
    palette = palettes()[mode]
    pairs = [*product(("ink",), GROUNDS), *product(("muted",), ("page", "card", "note")),
             *product(COLOURED_TEXT, ("card",))]
    poor = {pair: round(contrast(palette[pair[0]], palette[pair[1]]), 2) for pair in pairs
            if contrast(palette[pair[0]], palette[pair[1]]) < 4.5}
    assert not poor


@pytest.mark.parametrize("mode", ["light", "dark", "print"])
def test_lines_and_signs_stand_out_from_their_ground(mode):
    palette = palettes()[mode]
    signs = [("series-2", "alarm"), ("series-5", "caution"), ("series-3", "good"), ("muted", "note")]
    for colour, ground in [*product(SERIES, ("card",)), *signs]:
        assert contrast(palette[colour], palette[ground]) >= 3, (colour, ground)
