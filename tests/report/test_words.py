import json
import re
import string
from pathlib import Path

import pytest

import pneumo_tf.report
from pneumo_tf.report.words import language, languages

REPORT = Path(pneumo_tf.report.__file__).parent


def gaps(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_language_has_the_same_keys_with_the_same_gaps():
    english = language("en").texts
    for code in languages():
        texts = language(code).texts
        assert texts.keys() == english.keys()
        assert {key: gaps(text) for key, text in texts.items()} == {k: gaps(t) for k, t in english.items()}


def test_no_catalogue_holds_a_key_twice():
    for code in languages():
        keys = [key for path in (REPORT / "locales" / code).glob("*.json")
                for key, _ in json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)]
        assert len(keys) == len(set(keys)), code


def test_every_key_that_a_template_names_exists():
    texts = language("en").texts
    for path in (REPORT / "templates").rglob("*.j2"):
        for key in re.findall(r'say\("([a-z_.-]+)"[,)]', path.read_text(encoding="utf-8")):
            assert key in texts, f"{key} in {path.name}"


def test_every_key_that_the_code_names_exists():
    texts = language("en").texts
    for path in REPORT.rglob("*.py"):
        for key in re.findall(r'say\("([a-z_.]+)"', path.read_text(encoding="utf-8")):
            assert key in texts, f"{key} in {path.name}"


def test_english_and_spanish_write_numbers_their_own_way():
    assert language("en").number(1234567.891, 2) == "1,234,567.89"
    assert language("es").number(1234567.891, 2) == "1\u202f234\u202f567,89"
    assert language("en").percent(0.973) == "97.3%"
    assert language("es").percent(0.973) == "97,3\u00a0%"


def test_one_film_is_singular():
    assert [language("en").count(n, "film") for n in (0, 1, 2)] == ["0 films", "1 film", "2 films"]
    assert language("es").count(1, "patient") == "1 paciente"


def test_what_the_pipeline_wrote_is_translated_with_its_numbers():
    assert language("es").named("reason", "larger than 512 MiB") == "mayor de 512 MiB"
    assert language("es").named("figure", "f1") == "F1"
    unheard_of = "struck by lightning, twice in 2024"
    assert language("es").named("reason", unheard_of) == unheard_of


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (200, "3 min 20 s"),
                                               (3599.6, "1 h 00 min"), (3900, "1 h 05 min")])
def test_durations_are_told_in_sensible_units(seconds, text):
    assert language("en").duration(seconds) == text


def test_sizes_and_moments():
    assert language("es").size(123456789) == "123 MB"
    assert language("es").size(2.44e9) == "2,4 GB"
    assert language("en").moment("2025-03-04T05:06:07+00:00") == "2025-03-04 05:06"
    assert language("en").moment("yesterday") == "yesterday"


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (0.925, "0.925"), (2.0, "2"), (12500.0, "12,500"),
                                             (0.00025, "0.00025")])
def test_short_numbers_have_the_decimals_that_they_need(value, text):
    assert language("en").short(value) == text


@pytest.mark.parametrize(("change", "text"), [(0.0312, "+0,031"), (-0.0312, "−0,031"), (-0.0001, "0,000")])
def test_a_change_has_its_sign_unless_it_rounds_to_nothing(change, text):
    assert language("es").signed(change, 3) == text


@pytest.mark.parametrize(("name", "value", "change"), [
    ("sensitivity", "91.2%", "+91.2"), ("auc", "0.912", "+0.912"), ("mcc", "0.912", "+0.912"),
    ("log_loss", "0.912", "+0.912")])
def test_a_figure_is_written_as_its_kind_wants(name, value, change):
    words = language("en")
    assert (words.figure(name, 0.912), words.change(name, 0.912)) == (value, change)


def test_an_estimate_has_its_interval_or_says_why_there_is_none():
    words = language("en")
    known = {"value": 0.5, "low": 0.25, "high": 0.75}
    assert words.estimate(known, words.percent) == ("50.0%", "25.0% to 75.0%")
    assert words.estimate(known | {"low": None, "high": None}, words.decimals) == ("0.500", "")
    assert words.estimate({"value": None, "why": "no_films"}, words.percent) == ("–", "there are no films.")
