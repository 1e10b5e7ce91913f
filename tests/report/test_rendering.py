import re

import pytest
from markdown_it import MarkdownIt

from pneumo_tf.report.rendering import as_markdown_text, sections

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


def test_the_contents_are_read_off_the_sections():
    html = '<section id="a">\n<h2>First &amp; last</h2></section><section id="b"><h3>No</h3></section>'
    assert sections(html) == [("a", "First &amp; last")]
