"""The worklist as a browser shows it: by keyboard, in two languages, on paper, without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.page import PICTURES, Worklist, worklist_page
from pneumo_tf.reading.worklist import ranked, waiting
from pneumo_tf.report.words import language

NASTY = "<script>alert(1)</script>.png"
NOW = datetime(2026, 11, 25, 12).astimezone()
FILMS = 250


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A worklist of 250 films in each language."""
    folder = tmp_path_factory.mktemp("worklist")
    film, overlay = folder / "film.png", folder / "overlay.png"
    Image.fromarray(np.linspace(0, 255, 64 * 64).reshape(64, 64).astype("uint8")).save(film)
    Image.new("RGB", (32, 32), "orange").save(overlay)
    films = [waiting(Answer(name, *call, 0.1, 0.9) if call[0] else
                     Answer(name, refusal="unreadable", reason="truncated or damaged image"),
                     film, NOW - timedelta(minutes=number), positive="PNEUMONIA")
             for number, (name, call) in enumerate([
                 (NASTY, ("", None)), ("worst.png", ("PNEUMONIA", 0.999)),
                 *((f"film {number}.png", ("PNEUMONIA" if number % 2 else "NORMAL",
                                           0.5 + (number % 2 - 0.5) * (number + 1) / FILMS))
                   for number in range(FILMS - 2))])]
    worklist = Worklist(ranked(films), "inbox", "a run", NOW, ["They differ."], {"worst.png": overlay})
    paths = {}
    for lang in ("en", "es"):
        paths[lang] = folder / f"{lang}.html"
        paths[lang].write_text(worklist_page(worklist, language(lang)), encoding="utf-8")
    return paths


def names(page: Page) -> list[str]:
    return [name.strip() for name in page.locator("#worklist tbody .open").all_text_contents()]


@pytest.mark.parametrize("lang", ["en", "es"])
def test_it_opens_and_asks_for_nothing(page: Page, pages: dict[str, Path], lang: str) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[lang].as_uri())
    page.wait_for_load_state("networkidle")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [pages[lang].as_uri()]


def test_what_is_refused_comes_first_and_is_never_markup(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["en"].as_uri())
    assert names(page)[:2] == [NASTY, "worst.png"]
    assert page.locator("#viewer-title").inner_text() == NASTY
    assert page.locator("#viewer-call").inner_text() == "to be read by a person"


def test_the_keyboard_reaches_everything(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["en"].as_uri())
    page.keyboard.press("j")
    assert page.locator("#viewer-title").inner_text() == "worst.png"
    assert page.locator("#overlay").is_visible()
    page.keyboard.press("x")
    assert page.locator("#read").get_attribute("aria-pressed") == "true"
    page.keyboard.press("+")
    assert float(page.locator("#zoom").input_value()) == pytest.approx(1.25, abs=0.06)
    page.keyboard.press("0")
    assert float(page.locator("#zoom").input_value()) == 1
    page.keyboard.press("/")
    page.keyboard.type("film 24")
    assert {name[:7] for name in names(page)} == {"film 24"}
    assert "of 250 films shown" in page.locator("#told").inner_text()


def test_a_long_list_can_be_walked_to_its_end(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["en"].as_uri())
    for _ in range(FILMS + 5):
        page.keyboard.press("ArrowDown")
    assert page.locator("#worklist tbody tr").count() == FILMS
    assert page.locator("tr[aria-selected=true] .c-rank").inner_text() == str(FILMS)


def test_columns_sort_by_value_and_say_so(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["en"].as_uri())
    head = page.locator("th.c-probability")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    shown = [float(row.get_attribute("data-probability") or -1)
             for row in page.locator("#worklist tbody tr").all()]
    assert len(shown) >= 100
    assert shown == sorted(shown, reverse=True)
    page.locator("thead .c-id button").click()
    assert names(page)[1:4] == ["film 0.png", "film 1.png", "film 2.png"]  # 10 doesn't stand before 2


def test_window_and_level_are_those_of_viewers(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["en"].as_uri())
    page.locator("#window").fill("100")
    page.locator("#level").fill("64")

    def grey(value: float) -> float:
        channel = page.locator("#greys > *").first
        slope, intercept = (float(channel.get_attribute(name) or "nan") for name in ("slope", "intercept"))
        return 255 * (slope * value / 255 + intercept)

    assert grey(64) == pytest.approx(127.5)
    assert (grey(14), grey(114)) == (pytest.approx(0), pytest.approx(255))
    page.keyboard.press("i")
    assert (grey(14), grey(114)) == (pytest.approx(255), pytest.approx(0))


def test_a_page_that_is_renewed_stays_as_it_was(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["en"].as_uri())
    page.locator("button[data-group=ill]").click()
    page.locator("thead .c-since button").click()
    page.keyboard.press("j")
    before = names(page), page.locator("#viewer-title").inner_text()
    page.reload()
    assert (names(page), page.locator("#viewer-title").inner_text()) == before
    assert page.locator("button[data-group=ill]").get_attribute("aria-pressed") == "true"


def test_it_is_read_without_scripts_and_printed_whole(browser: Browser, page: Page,
                                                       pages: dict[str, Path]) -> None:
    plain = browser.new_page(java_script_enabled=False)
    plain.goto(pages["es"].as_uri())
    assert plain.locator("#worklist tbody tr").count() == FILMS
    plain.close()
    page.goto(pages["es"].as_uri())
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#worklist tbody tr").count() == FILMS


@pytest.mark.parametrize(("lang", "scheme", "width"), [("en", "dark", 1280), ("es", "light", 390)])
def test_it_can_be_used_by_everybody(page: Page, barriers: Callable[[], list[Any]], pages: dict[str, Path],
                                     lang: str, scheme: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(pages[lang].as_uri())
    page.locator("summary").click()
    assert barriers() == []
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_only_the_first_films_bring_their_pictures() -> None:
    films = [waiting(Answer(str(number), "NORMAL", 0.1), Path("gone.png"), NOW, positive="PNEUMONIA")
             for number in range(PICTURES + 1)]
    html = worklist_page(Worklist(films, "inbox", "a run", NOW), language("es"))
    assert f"se ven las primeras {PICTURES} imágenes" in html
    assert re.search(r'id="pictures">\{\}<', html)
