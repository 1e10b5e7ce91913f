import re
import subprocess
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from PIL import Image

from pneumo_tf.report.charts import drawing
from pneumo_tf.report.charts.curves import epoch_curve, recorded
from pneumo_tf.report.charts.drawing import drawn
from pneumo_tf.report.charts.results import roc
from pneumo_tf.report.words import language

HISTORY = pd.DataFrame({"epoch": [1, 2, 3], "loss": [0.5, 0.4, 0.3], "val_loss": [0.6, 0.5, 0.5]})


def drawn_loss(folder):
    return drawn("loss", lambda: epoch_curve(HISTORY, "loss", language("es")), folder)


def test_the_pages_drawing_takes_its_colours_from_the_page(tmp_path):
    svg = drawn_loss(tmp_path)
    taken = set(re.findall(r"var\(--([a-z0-9-]+)\)", svg))
    assert taken == {"ink", "line", "series-1", "series-2", "font"}
    left = set(re.findall(r"#[0-9a-f]{6}\b", svg)) - {"#000000", "#ffffff"}
    assert not left


def test_the_file_is_light_whatever_the_page_is(tmp_path):
    drawn_loss(tmp_path)
    with Image.open(tmp_path / "loss.png") as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_text_stays_text_in_the_pages_font_and_language(tmp_path):
    svg = drawn_loss(tmp_path)
    assert ">Pérdida</text>" in svg
    assert ">0,5</text>" in svg
    assert "DejaVu" not in svg


@pytest.mark.filterwarnings("ignore:Glyph 7")
def test_a_class_keeps_its_name_whatever_it_is_called(tmp_path):
    names = ["<script>alert(1)</script>", 'id="a"', "#0b62a8", "url(#x)", "font: 10px Arial", "\x07bell"]
    curves = {name: {"fpr": [0, 1], "tpr": [0, 1]} for name in names}
    svg = drawn("roc", lambda: roc(curves, language("en")), tmp_path)
    texts = [text.text for text in ElementTree.fromstring(svg).iter("text")]
    assert [*names[:-1], "bell"] == [text for text in texts if text in (*names, "bell")]
    assert "<script" not in svg


def test_names_that_no_font_can_write_are_letters_in_the_file_and_explained_beside_it(tmp_path, monkeypatch):
    usual = [font for font in fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(fontManager, "ttflist", usual)
    drawing._fonts_for.cache_clear()
    written: list[str] = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig",
                        lambda figure, *args, save=Figure.savefig, **options:
                        (written.append(" ".join(text.get_text() for text in figure.findobj(Text))),
                         save(figure, *args, **options)))
    curves = {name: {"fpr": [0, 1], "tpr": [0, 1]} for name in ("肺炎", "健康 (normal)", "Neumonía")}
    page = drawn("roc", lambda: roc(curves, language("en")), tmp_path)
    on_page, in_file = written
    assert "肺炎" in on_page
    assert "肺炎" in page
    assert not re.search("[肺炎健康]", in_file)
    assert "B (normal)" in in_file
    assert "Neumonía" in in_file
    assert "roc.png: A = 肺炎; B = 健康" in page
    drawing._fonts_for.cache_clear()


def test_signs_that_the_usual_font_lacks_are_written_by_another_that_is_installed(monkeypatch):
    able = {"DejaVu Sans": "abc", "Songti": "肺炎", "Bold": "肺炎"}
    listed = [font_manager.FontEntry(fname=name, name=name, weight=900 if name == "Bold" else 400,
                                     style="normal") for name in reversed(able)]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", listed)
    monkeypatch.setattr(font_manager, "get_font",
                        lambda name: SimpleNamespace(get_char_index=lambda code: chr(code) in able[name]))
    drawing._fonts_for.cache_clear()
    assert drawing._fonts_for(frozenset("a肺炎")) == (("DejaVu Sans", "Songti"), "")
    assert drawing._fonts_for(frozenset("aж")) == (("DejaVu Sans",), "ж")
    drawing._fonts_for.cache_clear()


def test_a_drawing_has_no_style_sheet_that_would_reach_the_page(tmp_path):
    svg = drawn_loss(tmp_path)
    assert "<style" not in svg
    assert 'stroke-linejoin="round"' in svg


def test_the_same_numbers_give_the_same_drawing(tmp_path):
    assert drawn_loss(tmp_path) == drawn_loss(tmp_path)


def test_a_metric_that_was_not_recorded_is_told_from_one_that_was():
    assert recorded(HISTORY, "loss") == ["loss", "val_loss"]
    assert recorded(HISTORY.assign(auc=float("nan")), "auc") == []


def test_more_classes_than_colours_are_told_apart_by_their_dashes(tmp_path):
    curves = {f"class {k}": {"fpr": [0, k / 20, 1], "tpr": [0, 0.9, 1]} for k in range(9)}
    svg = drawn("roc", lambda: roc(curves, language("en")), tmp_path)
    lines = re.findall(r'style="(fill: none;[^"]*--series-[^"]*)"', svg)
    assert len(lines) == 18  # nine curves, nine entries of the legend
    assert len(set(lines)) == 9
    assert "class 8" in svg


def test_matplotlib_is_only_imported_to_draw():
    code = "import sys, pneumo_tf.report.page; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
