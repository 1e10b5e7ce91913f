"""The page of a comparison, made from what comparison.json holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pneumo_tf.errors import OptionError
from pneumo_tf.report.page import write_comparison_page

VOID = {"meta", "img", "br", "input"}


class Page(HTMLParser):
    """Attributes and visible text of a page; it complains where tags don't close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, name: str) -> list[str]:
        return [value for _, attributes in self.found if (value := attributes.get(name))]


def make_row(name: str, area: float, *, seeds: tuple[int, ...] = (42, 43), top: float = 0.7,
             difference: tuple[float, float, float] | None = None) -> dict[str, Any]:
    history = {"epoch": [1, 2, 3], "loss": [top, 0.5, 0.4], "val_loss": [0.7, None, 0.5],
               "accuracy": [0.5, 0.6, 0.7], "val_accuracy": [0.5, 0.6, 0.65]}
    figures = {"auc": area, "accuracy": 0.91, "log_loss": 0.25, "epochs": 3.0, "seconds": 200.0}
    n = len(seeds)
    runs = [{"seed": seed, "command": f"python x.py '{name}' --seed {seed}", "history": history}
            for seed in seeds]
    return {"name": name, "options": {}, "runs": runs,
            "figures": {key: {"mean": mean, "sd": 0.0123 if n > 1 else None, "n": n}
                        for key, mean in figures.items()},
            "difference": difference and dict(zip(("value", "low", "high"), difference, strict=True))}


def make_content(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"name": "sizes", "created": "2025-03-04T05:06:07+00:00", "films": 700, "patients": 400,
            "classes": ["NORMAL", "PNEUMONIA"], "patients_known": True, "phantoms": False,
            "split_by": "patient", "resamples": 2000, "rows": list(rows)} | changes


THREE = (make_row("size 32", 0.9876), make_row("size 64", 0.98, top=1.2, difference=(-0.0076, -0.02, 0.004)),
         make_row("size 128", 0.94, difference=(-0.0476, -0.06, -0.03)))


def page_of(content: dict[str, Any], folder: Path, **options: str) -> Page:
    return Page(write_comparison_page(content, folder, **options).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page of three rows, two seeds each; only to be read."""
    place = tmp_path_factory.mktemp("three")
    write_comparison_page(make_content(*THREE), place)
    return place


@pytest.fixture
def page(folder: Path) -> Page:
    return Page((folder / "comparison.html").read_text(encoding="utf-8"))


def test_the_best_row_and_those_that_cant_be_told_from_it_come_first(page: Page) -> None:
    text = page.text
    assert "3 ways to train, 6 runs, one split" in text
    assert "Highest validation AUC: a tie of size 32, size 64" in text
    assert "0.9800 to 0.9876" in text
    assert "1 of the other 2 can't be told from size 32" in text
    assert "the same 700 films of 400 patients" in text


@pytest.mark.parametrize(("second", "seeds", "is_tied", "said"), [
    ((-0.0876, -0.12, -0.05), (42, 43), False, "The others lie clearly below it"),
    ((-0.0876, -0.12, -0.05), (42,), False, "Whether the chance of training does can't be told"),
    ((-0.0876, -0.12, 0.0), (42, 43), True, "1 of the other 1 can't be told from first"),
    ((-0.0076, -0.009, -0.005), (42, 43), True, "or the seeds differ as much")])
def test_a_row_is_called_highest_only_where_neither_films_nor_seeds_make_a_tie(tmp_path: Path, second: Any,
                                                                              seeds: Any, is_tied: bool,
                                                                              said: str) -> None:
    rows = (make_row("first", 0.9876, seeds=seeds),
            make_row("second", 0.9876 + second[0], seeds=seeds, difference=second))
    text = page_of(make_content(*rows), tmp_path).text
    assert ("a tie of first, second" in text) is is_tied
    assert said in text


def test_the_page_says_why_it_has_no_test_figures(page: Page) -> None:
    assert "The figures of the test films are left out on purpose" in page.text


def test_differences_are_drawn_on_one_scale_with_zero_at_one_place(page: Page) -> None:
    styles = page.values("style")
    zeros = [style for style in styles if re.fullmatch(r"left:[\d.]+%", style)]
    spans = [tuple(map(float, re.findall(r"[\d.]+", style))) for style in styles if "width:" in style
             and style.startswith("left")]
    zero = float(zeros[0][5:-1])
    assert zeros[0] == zeros[2]
    assert spans[0][0] < zero < sum(spans[0])
    assert sum(spans[1]) < zero
    # The scale itself: −0.06 to −0.03 is as wide as 30/24 of −0.02 to 0.004.
    assert spans[1][1] / spans[0][1] == pytest.approx(30 / 24, rel=0.01)


def test_every_row_has_a_panel_of_loss_and_one_of_accuracy_on_the_same_axes(page: Page, folder: Path) -> None:
    plots = [attributes for _, attributes in page.found if attributes.get("class") == "plot"]
    assert len(plots) == 6
    assert plots[0]["aria-label"] == "Loss by epoch, size 32. Last epoch: training 0.400, validation 0.500."
    text = (folder / "comparison.html").read_text(encoding="utf-8")
    drawings = re.findall(r"<svg viewBox.*?</svg>", text, re.DOTALL)
    ticks = [re.findall(r">([\d.]+)</text>", drawing) for drawing in drawings]
    panels = [found for found in ticks if found]
    assert len(panels) == 6
    assert all(found == panels[0] for found in panels[:3])
    assert all(found == panels[3] for found in panels[3:])
    for name in ("loss-1.png", "accuracy-3.png"):
        with Image.open(folder / "figures" / name) as image:
            assert min(image.size) > 300


def test_the_page_refers_to_nothing_outside_itself_and_its_ids_are_unique(page: Page, folder: Path) -> None:
    text = (folder / "comparison.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in page.values("href")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_each_row_leads_to_the_reports_of_its_runs(tmp_path: Path) -> None:
    row = make_row("one", 0.9, seeds=(42, 43))
    for run in row["runs"]:
        run["folder"] = str(tmp_path / "rows" / f"a b {run['seed']}")
    (tmp_path / "rows" / "a b 42").mkdir(parents=True)
    (tmp_path / "rows" / "a b 42" / "report.html").touch()  # the other one is gone
    (tmp_path / "comparison").mkdir()
    page = page_of(make_content(row), tmp_path / "comparison")
    assert [address for address in page.values("href") if not address.startswith("#")] == \
        ["../rows/a%20b%2042/report.html"]
    assert "Report, seed 42" in page.text


def test_every_command_can_be_copied(page: Page) -> None:
    for row in THREE:
        for run in row["runs"]:
            assert run["command"] in page.text


def test_markup_in_names_is_shown_as_text(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>&"
    text = write_comparison_page(make_content(make_row(nasty, 0.9)), tmp_path).read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert nasty in Page(text).text


def test_one_row_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    page = page_of(make_content(make_row("only", 0.9)), tmp_path)
    assert "1 way to train, 2 runs, one split" in page.text
    assert "How far from the highest" not in page.text


@pytest.mark.parametrize(("changes", "said"), [
    ({"phantoms": True}, "These films are synthetic"),
    ({"split_by": "film"}, "split one by one"),
    ({"patients_known": False}, "Nobody knows which films belong to one patient"),
    ({"rows": [make_row("one", 0.9, seeds=(42,))]}, "Trained with one seed each"),
])
def test_what_makes_the_figures_worth_less_is_said(changes: dict[str, Any], said: str, page: Page,
                                                   tmp_path: Path) -> None:
    assert said not in page.text
    assert said in page_of(make_content(THREE[0]) | changes, tmp_path).text


def test_a_row_that_diverges_is_cut_off_and_the_page_says_so(page: Page, tmp_path: Path) -> None:
    wild = make_row("wild", 0.5, top=900.0, difference=(-0.4, -0.5, -0.3))
    cut = "What lies above the panels is cut off"
    assert cut not in page.text
    assert cut in page_of(make_content(*THREE, wild), tmp_path).text


def test_runs_without_epochs_have_a_page_without_panels(tmp_path: Path) -> None:
    row = make_row("still", 0.9)
    for run in row["runs"]:
        run["history"] = {}
    page = page_of(make_content(row), tmp_path)
    assert "There is no record by epoch" in page.text
    assert not [attributes for _, attributes in page.found if attributes.get("class") == "plot"]


def test_spanish_has_its_words_and_its_decimal_comma(tmp_path: Path) -> None:
    page = page_of(make_content(*THREE), tmp_path, lang="es")
    assert "Mayor AUC de validación: empate de size 32, size 64" in page.text
    assert "0,9876 ± 0,0123" in page.text
    assert "−0,0076" in page.text
    assert "época" in page.text
    for english in ("films", "Highest", "epoch", "training", "seeds"):
        assert english not in page.text.replace("--seeds", "")


def test_an_unknown_language_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Received: 'fr'"):
        write_comparison_page(make_content(*THREE), tmp_path, lang="fr")
    assert list(tmp_path.iterdir()) == []
