import base64
import hashlib
import itertools
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pneumo_tf.errors import OptionError
from pneumo_tf.report import rendering
from pneumo_tf.report.page import write_report
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RunError

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Page(HTMLParser):
    """Elements, attributes and visible text of a page; it complains where tags don't close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], list[dict[str, str | None]]]] = []
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), [found for _, found in self.open]))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), [found for _, found in self.open]))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] not in ("style", "script") and "template" not in dict(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, *names: str) -> list[str]:
        return [value for _, found, _ in self.elements for name, value in found.items()
                if name in names and value]


def page_of(run, **options) -> Page:
    return Page(write_report(run, **options).read_text(encoding="utf-8"))


def test_the_page_refers_to_nothing_outside_itself(finished_run):
    path = write_report(finished_run)
    page = Page(path.read_text(encoding="utf-8"))
    references = page.values("src", "href", "srcset", "data", "action", "poster")
    assert references
    assert all(value.startswith(("data:image/jpeg;base64,", "#")) for value in references)
    assert not re.search(r"https?://|@import|url\((?!#)", path.read_text(encoding="utf-8"))
    tags = [tag for tag, _, _ in page.elements]
    assert not {"link", "iframe", "object"} & set(tags)
    assert tags.count("script") == 1


def test_a_browser_is_told_to_run_one_script_and_to_fetch_nothing(finished_run):
    """The policy names the script that sorts by its hash, and forbids whatever a name might smuggle in."""
    script = (Path(rendering.__file__).parent / "templates/tables.js").read_bytes()
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    policies = page_of(finished_run).values("content")
    policy = next(value for value in policies if value.startswith("default-src"))
    assert policy.split("; ") == ["default-src 'none'", f"script-src 'sha256-{digest}'",
                                  "style-src 'unsafe-inline'", "img-src data:",
                                  "base-uri 'none'", "form-action 'none'"]


def test_every_reference_inside_the_page_has_its_target_and_ids_are_unique(finished_run):
    text = write_report(finished_run).read_text(encoding="utf-8")
    page = Page(text)
    ids = page.values("id")
    wanted = {value[1:] for value in page.values("href") if value.startswith("#")}
    assert wanted | set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
    assert len(ids) == len(set(ids))


def test_every_picture_can_be_read_aloud(finished_run):
    page = page_of(finished_run)
    for tag, found, parents in page.elements:
        if tag == "img":
            assert found["alt"]
        if tag == "svg":
            around = [found, *parents]
            assert any(e.get("aria-label") or e.get("aria-hidden") == "true" for e in around)
    plots = [found for tag, found, _ in page.elements if found.get("class") == "plot"]
    assert len(plots) == len(list((finished_run / "figures").iterdir()))
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)


def test_the_page_stays_small_and_its_figures_lie_beside_it(finished_run):
    assert write_report(finished_run).stat().st_size < 5e6
    figures = sorted((finished_run / "figures").iterdir())
    assert {"accuracy.png", "benefit.png", "confusion.png", "loss.png", "reliability.png",
            "roc.png"} <= {path.name for path in figures}
    for path in figures:
        with Image.open(path) as image:
            assert min(image.size) > 300


def test_the_first_screen_says_how_many_of_a_hundred(finished_run):
    figures = json.loads((finished_run / "metrics.json").read_text())["test"]["figures"]
    found, rejected = figures["sensitivity"], figures["specificity"]
    text = page_of(finished_run).text
    assert f"Of 100 films with pneumonia, it finds {round(100 * found['value'])}." in text
    alarms = round(100 * (1 - rejected["value"]))
    assert f"Of 100 films without pneumonia, it raises a false alarm on {alarms}." in text
    assert f"counted: {found['count']} of {found['of']} films" in text


def test_intervals_are_drawn_where_they_lie(finished_run):
    figure = json.loads((finished_run / "metrics.json").read_text())["test"]["figures"]["sensitivity"]
    low, high, value = (100 * figure[part] for part in ("low", "high", "value"))
    styles = page_of(finished_run).values("style")
    assert f"left:{low:.1f}%;width:{high - low:.1f}%" in styles
    assert f"left:{value:.1f}%" in styles


def test_all_of_a_hundred_are_found_only_where_none_was_missed(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    metrics["test"]["figures"]["sensitivity"] |= {"value": 0.998, "high": 0.9999, "count": 499, "of": 500}
    metrics["test"]["figures"]["specificity"] |= {"value": 1.0, "high": 1.0, "count": 500, "of": 500}
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    text = page_of(finished_run).text
    assert "with pneumonia, it finds 99. Plausible range" in text
    assert "without pneumonia, it raises a false alarm on 0. Plausible range" in text


def test_delongs_interval_of_the_area_is_shown_beside_the_bootstraps(finished_run):
    auc = json.loads((finished_run / "metrics.json").read_text())["test"]["figures"]["auc"]
    low, high = auc["delong"]["low"], auc["delong"]["high"]
    assert f"DeLong, films as independent: {low:.3f} to {high:.3f}" in page_of(finished_run).text


def test_spanish_has_its_words_and_its_decimal_comma(finished_run):
    figures = json.loads((finished_run / "metrics.json").read_text())["test"]["figures"]
    page = page_of(finished_run, lang="es")
    assert ("html", {"lang": "es"}, []) in page.elements
    assert f"{figures['auc']['value']:.3f}".replace(".", ",") in page.text
    assert "¿Hay neumonía en esta radiografía de tórax?" in page.text
    assert "época" in page.text  # an axis of a figure
    for english in ("Sensitivity", "films", "epoch", "training", "predicted", "found in source"):
        assert english not in page.text


def test_an_unknown_language_is_an_error_and_writes_nothing(finished_run):
    with pytest.raises(OptionError, match=r"Received: 'fr'. Choose one of: en, es\."):
        write_report(finished_run, lang="fr")
    assert not (finished_run / "report.html").exists()


def test_markup_in_names_is_shown_as_text(finished_run, changed):
    nasty = "<script>alert('1')</script>&.jpeg"
    for name in ("split.csv", "predictions.csv"):
        table = pd.read_csv(finished_run / name, dtype=str)
        table["id"] = [f"{nasty}{row}" for row in range(len(table))]
        table.to_csv(finished_run / name, index=False)
    changed(finished_run, name=nasty, flow=[{"stage": nasty, "kept": 1,
                                             "dropped": [{"file": nasty, "reason": nasty}]}])
    text = write_report(finished_run).read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert nasty in Page(text).text


def test_values_within_values_are_told_as_names_and_values(finished_run, changed):
    changed(finished_run, options={"settings": {}, "epochs": 60, "prevalences": [0.01, 0.3], "nested": {}},
            preparation={"source": "x", "options": {"brightness": 0.7, "color": False, "crop": {"top": 3}}})
    for lang in ("en", "es"):
        text = page_of(finished_run, lang=lang).text
        assert "brightness 0.7 color no top 3" in text
        assert "--prevalence 0.01, 0.3" in text
        assert not re.search(r"[{}]|\[0|--settings", text)


def test_the_first_page_says_which_class_is_looked_for_and_each_caution_once(finished_run):
    page = page_of(finished_run)
    assert "It looks for PNEUMONIA; otherwise it says NORMAL." in page.text
    said = language("en").say("caution.device")
    assert page.text.count(said) == 1


def test_dots_between_the_ends_of_the_interval_are_faded(finished_run):
    figure = json.loads((finished_run / "metrics.json").read_text())["test"]["figures"]["specificity"]
    page = page_of(finished_run)
    *_, dots = [[found["class"] for tag, found, inner in page.elements if tag in ("circle", "path")
                 and any(each.get("aria-label") == picture for each in inner)]
                for picture in page.values("aria-label") if picture.startswith("100 dots")]
    low, value, high = (round(100 * figure[part]) for part in ("low", "value", "high"))
    assert [name.endswith("unsure") for name in dots] == [low <= place < high for place in range(100)]
    assert sum(name.startswith("dot-good") for name in dots) == value


def test_where_the_class_is_rare_the_first_page_says_how_many_alarms_would_be_right(finished_run):
    rows = json.loads((finished_run / "metrics.json").read_text())["test"]["predictive_values"]
    ppv = next(row["ppv"] for row in rows if row["prevalence"] == 0.05)
    assert f"Where only 5 of 100 films are PNEUMONIA, some {100 * ppv['value']:.0f} of 100 alarms" \
        in page_of(finished_run).text


def test_headings_go_down_one_step_at_a_time(finished_run):
    levels = [int(tag[1]) for tag, _, _ in page_of(finished_run).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_tables_have_captions_and_their_headings_a_scope(finished_run):
    page = page_of(finished_run)
    tags = Counter(tag for tag, _, _ in page.elements)
    assert tags["table"] == tags["caption"] > 5
    assert all(found.get("scope") in ("col", "row") for tag, found, _ in page.elements if tag == "th")


def test_the_contents_name_every_section_once_and_in_order(finished_run):
    page = page_of(finished_run)
    sections = [found["id"] for tag, found, _ in page.elements if tag == "section"]
    links = [found["href"][1:] for tag, found, parents in page.elements if tag == "a"
             and any(parent.get("id") == "contents" for parent in parents)]
    assert sections[0] == "overview"
    assert links == sections[1:]


@pytest.mark.parametrize("names", [("a<b>", "c$_{$"),
                                   ("<svg onload=alert(1)>", "x</title><svg/onload=alert(1)>")])
def test_class_names_are_never_read_as_formulas_or_markup(run_of, names):
    page = page_of(run_of(classes=names))
    assert all(name in page.text for name in names)
    assert "onload" not in {attribute for _, attributes, _ in page.elements for attribute in attributes}


def test_every_page_tells_a_browser_what_it_may_run():
    templates = Path(rendering.__file__).parent / "templates"
    pages = [path for path in templates.glob("*.html.j2") if path.name != "macros.html.j2"]
    assert len(pages) == 4
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert 'extends "page.html.j2"' in text or 'http-equiv="Content-Security-Policy"' in text, path.name


def test_several_classes_are_reported_one_by_one(run_of):
    page = page_of(run_of(classes=("COVID", "NORMAL", "PNEUMONIA")))
    assert "Which of 3 classes is this film?" in page.text
    assert "Each class against the rest" in page.text
    assert "there is no threshold" in page.text
    assert "share of the COVID films that it finds" in page.text


@pytest.mark.parametrize("content", ["", "epoch,loss,accuracy,val_loss,val_accuracy\n"])
def test_a_run_without_epochs_has_a_page_without_curves(finished_run, content):
    (finished_run / "history.csv").write_text(content)
    page = page_of(finished_run)
    assert "There is no record by epoch" in page.text
    assert not (finished_run / "figures" / "loss.png").exists()


def test_gaps_in_the_history_are_left_open(finished_run):
    rows = ["epoch,loss,val_loss,val_auc,phase", "1,0.5,,,head", "2,0.4,0.3,,all layers"]
    (finished_run / "history.csv").write_text("\n".join(rows))
    page = page_of(finished_run)
    assert "Loss by epoch. Last epoch: training 0.400, validation 0.300." in page.values("aria-label")


def test_films_that_are_gone_or_broken_leave_a_placeholder(finished_run):
    films = sorted((finished_run.parent / "images").iterdir())
    for film in films[::2]:
        film.unlink()
    films[1].write_bytes(b"not an image")
    page = page_of(finished_run)
    assert "The film can no longer be found or read." in page.text
    assert any(tag == "img" for tag, _, _ in page.elements)
    shutil.rmtree(finished_run.parent / "images")
    assert not any(tag == "img" for tag, _, _ in page_of(finished_run).elements)


def test_the_grid_shows_25_films_and_says_how_many_of_all_are_wrong(finished_run):
    table = pd.read_csv(finished_run / "predictions.csv")
    tested = table[table["split"] == "test"]
    errors = int((tested["label"] != tested["predicted"]).sum())
    page = page_of(finished_run)
    shown = [found["class"] for tag, found, parents in page.elements
             if found.get("class", "").startswith("film") and tag == "figure"
             and any(parent.get("id") == "grid" for parent in parents)]
    assert len(shown) == 25
    assert errors > 0
    assert f"{errors} of {len(tested)} films tested are wrong." in page.text


def test_the_command_can_be_pasted_into_a_shell(finished_run):
    assert "python scripts/binary_class.py --labels 'my labels.csv'" in page_of(finished_run).text


def test_a_figure_that_does_not_exist_says_why(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    absent = {"value": None, "low": None, "high": None, "method": "Wilson", "why": "no_negative_films"}
    metrics["test"]["figures"] |= {"specificity": absent, "auc": absent | {"resamples": 50}}
    metrics["test"] |= {"roc": None, "average_precision": None}
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    text = page_of(finished_run).text
    assert "This can't be said: every test film belongs to that class." in text
    assert "There is no ROC curve" in text


@pytest.mark.parametrize("name", ["run.json", "metrics.json", "history.csv", "split.csv", "predictions.csv"])
def test_an_unfinished_run_is_an_error_that_names_the_missing_file(finished_run, name):
    (finished_run / name).unlink()
    with pytest.raises(RunError, match=f"no {name} in"):
        write_report(finished_run)
    assert not (finished_run / "report.html").exists()


def test_a_garbled_run_is_an_error(finished_run):
    (finished_run / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run.json must be JSON"):
        write_report(finished_run)
    (finished_run / "run.json").write_text("{}")
    with pytest.raises(RunError, match="without classes"):
        write_report(finished_run)


def test_predictions_without_a_class_are_an_error(finished_run):
    table = pd.read_csv(finished_run / "predictions.csv").drop(columns="p_NORMAL")
    table.to_csv(finished_run / "predictions.csv", index=False)
    with pytest.raises(RunError, match="without p_NORMAL"):
        write_report(finished_run)
