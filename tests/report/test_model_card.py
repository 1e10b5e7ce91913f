import json
import re

import pytest
from markdown_it import MarkdownIt

from pneumo_tf.report.page import write_report
from pneumo_tf.report.sections.made import LIMITS
from pneumo_tf.report.words import language

NASTY = "<script>alert(1)</script>|`x`"


def card_of(run, lang: str = "en") -> str:
    write_report(run, lang=lang)
    return (run / "model_card.md").read_text(encoding="utf-8")


def rendered(card: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(card)


@pytest.mark.parametrize("lang", ["en", "es"])
def test_the_card_has_use_limits_cautions_figures_data_and_versions(finished_run, lang):
    html, words = rendered(card_of(finished_run, lang)), language(lang)
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    keys = ("card.use", "card.limits", "overview.cautions", "card.figures", "cost.data", "cost.title")
    assert titles == [words.say(key) for key in keys]
    assert html.count("<table>") == 2
    assert words.say("caution.device") in html
    for limit in LIMITS:
        assert words.say(f"limit.{limit}") in html
    assert "keras" in html
    assert "efficientnet_lite0" in html


def test_the_card_is_one_page_and_names_one_backbone_once(finished_run, changed):
    changed(finished_run, name="20250304-fast-efficientnet_lite0", options={"backbone": None, "settings": {}},
            command=["python", "--backbone", "efficientnet_lite0"])
    card = card_of(finished_run)
    assert card.count("efficientnet_lite0") == 1
    assert len(card.split()) < 650
    assert len(card.splitlines()) < 75


def test_its_figures_are_those_of_the_report_with_their_intervals(finished_run):
    figure = json.loads((finished_run / "metrics.json").read_text())["test"]["figures"]["sensitivity"]
    low, high = (f"{100 * figure[end]:.1f}%" for end in ("low", "high"))
    row = next(line for line in card_of(finished_run).splitlines() if line.startswith("| Sensitivity"))
    assert f"| {100 * figure['value']:.1f}% | {low} to {high} | {figure['count']} of {figure['of']} |" in row


def test_several_classes_are_carded_one_by_one(run_of):
    card = card_of(run_of(classes=("COVID", "NORMAL", "PNEUMONIA")))
    assert "| COVID: Sensitivity |" in card
    assert "It chooses among COVID, NORMAL, PNEUMONIA." in card


def test_names_are_text_in_the_card(finished_run, changed):
    changed(finished_run, recipe=NASTY, backbone=NASTY, seed=NASTY, weights={"source": NASTY},
            versions={NASTY: "1"})
    html = rendered(card_of(finished_run))
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;|`x`") >= 5


def test_class_names_are_text_in_its_tables(run_of):
    html = rendered(card_of(run_of(classes=("a|b", "<script>alert(1)<", "c`d"))))
    assert "<script" not in html
    assert "<td>a|b: Sensitivity</td>" in html
