"""The report as a browser shows it: both languages, light and dark, on a telephone and on paper."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from pneumo_tf.report.page import write_report

LANGUAGES = ("en", "es")
NASTY = "<script>alert(1)</script>"
# What the margins leave of A4, in pixels of 1/96 inch.
PAPER = {"width": 695, "height": 1024}


@pytest.fixture(scope="module")
def reports(make_finished_run: Callable[..., Path],
            tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report in each language, and one of a run whose names are markup."""
    folder = tmp_path_factory.mktemp("reports")
    run = make_finished_run(folder / "plain", per_class=40)
    pages = {lang: write_report(run, lang=lang).rename(folder / f"{lang}.html") for lang in LANGUAGES}
    nasty = make_finished_run(folder / "nasty", classes=("NORMAL", NASTY), per_class=40)
    several = make_finished_run(folder / "several", classes=tuple(f"class {k:02}" for k in range(12)),
                                per_class=20)
    explained = make_finished_run(folder / "explained", per_class=40)
    explain_errors(explained)
    return pages | {"nasty": write_report(nasty), "explained": write_report(explained),
                    "several": write_report(several)}


def explain_errors(run: Path) -> None:
    """What explain_pict.py leaves for the test films that the network got wrong."""
    errors = json.loads((run / "metrics.json").read_text())["test"]["errors"]["top_losses"]
    place = run / "explanations" / "all"
    place.mkdir(parents=True)
    for name in ("panel", "gradcam"):
        Image.new("RGB", (64, 48), "orange").save(place / f"{name}.png")
    films = [{"name": film["id"], "label": film["actual"], "predicted": film["predicted"],
              "explained": "PNEUMONIA", "score": 0.5, "panel": "all/panel.png",
              "methods": {"gradcam": {"verdict": "shown"}}} for film in errors]
    (run / "explanations" / "explanations.json").write_text(json.dumps({"films": films}))


def show(page: Page, path: Path) -> Page:
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("name", [*LANGUAGES, "nasty"])
def test_it_opens_without_an_error_and_asks_for_nothing_else(page, reports, name):
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    show(page, reports[name]).wait_for_load_state("networkidle")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [reports[name].as_uri()]
    assert page.evaluate("document.scripts.length") == 1


def test_names_that_are_markup_are_shown_as_text(page, reports):
    show(page, reports["nasty"])
    assert NASTY in page.inner_text("#split")
    assert NASTY in page.inner_text("h1")
    drawn = page.evaluate("[...document.querySelectorAll('#result svg text')].map(text => text.textContent)")
    assert NASTY in drawn


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_picture_has_words(page, reports, lang):
    silent = show(page, reports[lang]).evaluate("""() => {
        const named = element => (element.alt || element.getAttribute("aria-label") || "").trim();
        const spoken = element => element.closest('[aria-hidden=true]') || element.closest('[role=img]');
        return [...document.querySelectorAll('img, svg, [role=img]')]
            .filter(element => !named(element) && !(spoken(element) && element.tagName === 'svg'))
            .map(element => element.outerHTML.slice(0, 80));
    }""")
    assert page.locator("svg").count() > 10
    assert page.locator("img").count() > 10
    assert silent == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", [*LANGUAGES, "nasty"])
def test_nothing_sticks_out_at_the_side(page, reports, name, width):
    page.set_viewport_size({"width": width, "height": 844})
    show(page, reports[name])
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_long_headings_take_no_more_room_than_a_telephone_has(page, reports):
    page.set_viewport_size({"width": 390, "height": 844})
    show(page, reports["en"])
    page.evaluate("for (const th of document.querySelectorAll('thead th')) th.append('heading '.repeat(80))")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize(("lang", "scheme"), [("en", "dark"), ("es", "light")])
def test_it_can_be_used_by_everybody(page, barriers, reports, lang, scheme):
    page.emulate_media(color_scheme=scheme)
    show(page, reports[lang])
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert barriers() == []


def test_the_keyboard_comes_past_the_beginning(page, reports):
    show(page, reports["en"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "contents"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#flow"


def test_every_section_is_in_the_contents(page, reports):
    show(page, reports["en"])
    listed = page.evaluate("[...document.querySelectorAll('nav a')].map(link => link.getAttribute('href'))")
    sections = page.evaluate("[...document.querySelectorAll('section[id]')].map(found => '#' + found.id)")
    assert listed == [place for place in sections if place != "#overview"]


def test_paper_gets_all_of_it_and_no_dark_ground(page, reports):
    page.emulate_media(media="print", color_scheme="dark")
    show(page, reports["en"])
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("nav").is_visible()
    folded = page.locator("details :is(table, dl)")
    assert folded.count() > 10
    assert all((box := content.bounding_box()) and box["height"] > 8 for content in folded.all())
    assert not page.locator(".enlarged, .filter").first.is_visible()


@pytest.mark.parametrize("name", [*LANGUAGES, "nasty", "several"])
def test_the_first_page_is_one_page_of_paper_and_the_appendix_no_book(page, reports, name):
    page.emulate_media(media="print")
    page.set_viewport_size(PAPER)
    hero = show(page, reports[name]).locator("#overview").bounding_box()
    assert hero["y"] + hero["height"] < PAPER["height"]
    assert page.evaluate("getComputedStyle(document.querySelector('#overview')).breakAfter") == "page"
    paper = page.pdf(prefer_css_page_size=True)
    assert 2 < len(re.findall(rb"/Type\s*/Page\b", paper)) <= 14


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_to_expect_elsewhere_needs_no_scrolling(page, reports, lang):
    page.set_viewport_size({"width": 1280, "height": 800})
    box = show(page, reports[lang]).locator(".beside .note").bounding_box()
    assert box["y"] + box["height"] < 800


@pytest.mark.parametrize("name", [*LANGUAGES, "nasty"])
def test_no_table_is_cut_or_loses_a_column_on_a_telephone(page, reports, name):
    page.set_viewport_size({"width": 390, "height": 844})
    show(page, reports[name])
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    cut = page.evaluate("""[...document.querySelectorAll('.scroll')].filter(
        found => found.scrollWidth > found.clientWidth).map(found => found.closest('section').id)""")
    lost = page.evaluate("""[...document.querySelectorAll('tbody :is(th, td):not(.drawing)')].filter(
        cell => cell.textContent.trim() && !cell.getBoundingClientRect().height).map(cell => cell.id)""")
    assert (cut, lost) == ([], [])
    assert page.locator("#split .total td").last.is_visible()


def column(page: Page, table: str, number: int) -> list[str]:
    """The texts of a column that are on the screen, from top to bottom."""
    cells = page.locator(f"{table} tbody tr:visible > :nth-child({number})")
    return [text.replace("\u00a0", " ") for text in cells.all_inner_texts()]


def test_a_table_is_sorted_by_the_keyboard_up_down_and_back(page, barriers, reports):
    heading = show(page, reports["several"]).locator("#split thead th").nth(0)
    *written, total = column(page, "#split", 1)
    heading.get_by_role("button").focus()
    for state, wanted in (("ascending", written), ("descending", written[::-1]), (None, written)):
        page.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == state
        assert column(page, "#split", 1) == [*wanted, total]
        assert barriers() == []


@pytest.mark.parametrize(("lang", "wanted"), [
    ("en", ["40 s", "3 min 05 s", "3 min 20 s", "1 h 05 min", "–"]),
    ("es", ["4,2 s", "40 s", "3 min 20 s", "–"]), ("en", ["40 MB", "900 MB", "1.9 GB"]), ("en", ["b", "a"]),
    ("es", ["−0,5", "+0,25", "97,3 %", "1 234"]), ("en", ["0.93 (0.5–0.99)", "9–10", "12 of 40", "1,234"]),
    ("es", ["9-a.jpeg", "10-b.jpeg", "Ámbar", "zinc"])])
def test_cells_are_sorted_by_what_they_mean(page, reports, tmp_path, lang, wanted):
    """Numbers of each language with their units; what stands below a value counts for nothing."""
    rows = "".join(f"<tr><td><b>{text}</b><span>{place}</span></td></tr>"
                   for place, text in enumerate(reversed(wanted)))
    table = f"<table><thead><tr><th>told</th></tr></thead><tbody>{rows}</tbody></table>"
    report = reports[lang].read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(
        report.replace('<section id="flow">', f'<section id="told">{table}</section><section id="flow">'))
    heading = show(page, tmp_path / "page.html").locator("#told button")
    if len(wanted) > 2:
        heading.click()
        assert page.locator("#told b").all_inner_texts() == wanted
    else:
        assert heading.count() == 0  # two rows need no sorting


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_table_is_filtered_and_printed_whole(page, barriers, reports, width):
    page.set_viewport_size({"width": width, "height": 844})
    section = show(page, reports["several"]).locator("#split")
    section.get_by_label("Show only rows with").fill("CLÁSS 07")
    assert column(page, "#split", 1) == ["class 07", "Total"]
    assert section.get_by_role("status").inner_text() == "1 of 12 rows"
    assert barriers() == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.emulate_media(media="print")
    assert len(column(page, "#split", 1)) == 13
    assert not section.locator(".filter").is_visible()


def test_without_scripts_nothing_is_lost(browser, reports):
    opened = browser.new_context(java_script_enabled=False).new_page()
    show(opened, reports["several"])
    assert opened.locator(".sorts, .filter").count() == 0
    assert len(column(opened, "#split", 1)) == 13
    opened.close()


def test_a_film_is_enlarged_and_closed_by_the_keyboard(page, reports):
    show(page, reports["en"])
    opener = page.locator("#errors .opens").first
    opener.focus()
    page.keyboard.press("Enter")
    opened = page.locator(".enlarged:popover-open")
    assert opened.count() == 1
    assert opened.locator("img").first.bounding_box()["width"] > 300
    assert page.evaluate("document.activeElement.textContent") == "Close"
    page.keyboard.press("Enter")
    assert opened.count() == 0
    assert page.evaluate("document.activeElement.className") == "opens"
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert opened.count() == 0


def test_where_the_network_looked_stands_beside_the_error(page, reports):
    opened = show(page, reports["explained"]).locator(".enlarged").filter(has_text="Where the network looked")
    assert opened.count() > 0
    assert opened.first.locator("img").count() == 2
