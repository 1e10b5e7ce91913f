import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from pneumo_tf.report import rendering
from pneumo_tf.report.rendering import as_markdown_text, render, sections_of
from pneumo_tf.report.words import language, languages
from pneumo_tf.storage import guarded

NASTY = ["<script>alert(1)</script>", "a|b", "`code`", "**bold** and __bold__", "_em_ and a_b_c",
         "[x](javascript:1)", "![x](http://a.b/c.png)", "&lt;b&gt;", "~~gone~~", "back\\slash",
         "<http://a.b>", "www.a.b"]


def shown(text: str) -> str:
    """What a reader of Markdown sees of a table cell."""
    html = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(
        f"| a | b |\n|---|---|\n| {text} | end |\n")
    assert len(re.findall("<td>", html)) == 2
    cell = re.search(r"<td>(.*?)</td>", html, re.DOTALL)[1]
    assert "<" not in cell, "it became markup"
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        cell = cell.replace(entity, sign)
    return cell


@pytest.mark.parametrize("name", NASTY)
def test_names_read_in_markdown_as_they_are_written(name):
    assert shown(as_markdown_text(name)) == name


def test_a_name_cannot_start_a_line_of_its_own():
    assert as_markdown_text("a\n# title\n\n- item") == "a # title - item"


def test_plain_words_stay_legible():
    for plain in ("efficientnet_lite0", "94.8% (93.4% to 96.0%)", "python scripts/binary_class.py -e 60"):
        assert as_markdown_text(plain) == plain


@pytest.mark.parametrize("page", ["report", "external", "comparison"])
def test_every_section_has_a_title_in_every_language_and_an_anchor_of_its_own(page):
    found = sections_of(page)
    assert len({section.id for section in found}) == len(found) > 3
    for code in languages():
        assert all(language(code).say(f"{section.name}.title") for section in found)


def test_every_template_of_a_section_is_one_that_a_section_has():
    names = {section.name for page in ("report", "external", "comparison") for section in sections_of(page)}
    folder = Path(rendering.__file__).parent / "templates" / "sections"
    assert {path.name.removesuffix(".html.j2") for path in folder.iterdir()} == names


def test_sections_stand_in_their_part_by_rising_place():
    found = [(section.part, section.place) for section in sections_of("report")]
    parts = list(dict.fromkeys(part for part, _ in found))
    assert parts == ["films", "result", "trust", "single", "made"]
    assert found == sorted(found, key=lambda place: (parts.index(place[0]), place[1]))
    assert len(set(found)) == len(found)


def test_a_missing_template_is_a_defect_and_no_trouble_of_the_disk(tmp_path):
    with pytest.raises(LookupError, match="no template sections/nothing") as raised, guarded(tmp_path):
        render("sections/nothing.html.j2", {}, language("en"))
    assert not isinstance(raised.value, OSError)


def test_a_missing_word_is_a_defect(tmp_path):
    with pytest.raises(KeyError, match="nothing"), guarded(tmp_path):
        language("en").say("nothing")
