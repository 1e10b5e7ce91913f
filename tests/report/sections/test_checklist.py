import re
from collections import Counter

import pytest

from pneumo_tf.report.page import write_report
from pneumo_tf.report.rendering import sections_of
from pneumo_tf.report.sections.checklist import POINTS, content
from pneumo_tf.report.words import language

# The items of each guideline as it was published, letters where an item has parts.
PUBLISHED = {
    "claim": " ".join(map(str, range(1, 45))),
    "tripod": "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 "
              "16 17 18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c",
    "stard": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15a 15b 15c 15d 16a 16b 16c 17a 17b 18 19 20 21 22 23 24 25 "
             "26a 26b 27 28 29 30 31 32 33 34 35 36 37 38 39 40a 40b"}


@pytest.mark.parametrize("guideline", PUBLISHED)
def test_every_item_of_a_guideline_has_one_place(guideline):
    cited = " ".join(getattr(point, guideline) for points in POINTS.values() for point in points)
    assert Counter(cited.split()) == Counter(PUBLISHED[guideline].split())


def test_a_point_is_answered_by_a_section_or_says_who_must():
    answered = {name for section in sections_of("report") for name in section.answers}
    points = {point.name: point.rest for points in POINTS.values() for point in points}
    assert answered <= points.keys()
    # The aim stands on the first screen, which is no section.
    assert {name for name, rest in points.items() if not rest} <= answered


def test_each_point_cites_its_items_in_words():
    row = content(None, language("en"))["groups"]["split"][0]
    assert row["numbers"] == "CLAIM 19, 20; TRIPOD+AI 12a, 21; STARD-AI 15b"


@pytest.mark.parametrize("lang", ["en", "es"])
def test_answers_lead_to_sections_that_the_page_has(finished_run, lang):
    page = write_report(finished_run, lang=lang).read_text(encoding="utf-8")
    section = page[page.index('<section id="checklist">'):]
    targets = set(re.findall(r'href="#([^"]+)"', section))
    assert {"flow", "split", "result", "roc", "cost", "limit", "overview"} <= targets
    assert targets <= set(re.findall(r'<section[^>]* id="([^"]+)"', page))


def test_what_a_run_has_no_record_of_is_said(finished_run):
    page = write_report(finished_run).read_text(encoding="utf-8")
    assert not re.search(r'href="#explain"', page)
    row = re.search(r"Pictures of where it looks.*?</tr>", page, re.DOTALL)
    assert "This run has no record of it." in row[0]
