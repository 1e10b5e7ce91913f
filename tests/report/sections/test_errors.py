import json
import re
import shutil

import pytest

from pneumo_tf.report.sections.errors import DOUBT, ERRORS, doubts, errors
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import read_run


def shown(run, code="en"):
    return errors(read_run(run), language(code))


def doubted(run, code="en"):
    return doubts(read_run(run), language(code))


@pytest.fixture
def page(filled):
    return lambda run, code="en": "".join(filled(section, read_run(run), code) for section in (ERRORS, DOUBT))


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text())


def change(run, metrics):
    (run / "metrics.json").write_text(json.dumps(metrics))
    return run


@pytest.fixture
def named(finished_run):
    """A finished run with one missed film, one false alarm and one doubtful label."""
    film = {"loss": 4.6052, "score": 0.01}
    metrics = metrics_of(finished_run)
    metrics["test"]["errors"] = {
        "films": 36, "wrong": 2, "most_confused": [], "top_losses": [
            {"id": "PNEUMONIA-2", "actual": "PNEUMONIA", "predicted": "NORMAL", "probability": 4e-5, **film},
            {"id": "NORMAL-3", "actual": "NORMAL", "predicted": "NORMAL", "probability": 0.4, **film},
            {"id": "NORMAL-2", "actual": "NORMAL", "predicted": "PNEUMONIA", "probability": 0.3, **film}]}
    metrics["doubts"] = {"films": {"validation": 12, "test": 36}, "doubtful": {"test": 1}, "found": [
        {"id": "PNEUMONIA-2", "split": "test", "label": "PNEUMONIA", "suggested": "NORMAL",
         "probability": 0.99996, "quality": 0.1}]}
    return change(finished_run, metrics)


def test_both_kinds_of_error_have_a_gallery_and_right_ones_stand_beside(named):
    galleries = dict(shown(named)["galleries"])
    assert [film.id for film in galleries["Missed: films of PNEUMONIA that it left alone"]] == ["PNEUMONIA-2"]
    alarms = galleries["False alarms: films that it wrongly called PNEUMONIA"]
    assert [film.id for film in alarms] == ["NORMAL-2"]
    right = galleries["For comparison: rightly called, over the whole range of scores"]
    assert len(right) == 5
    assert not any(film.is_wrong for film in right)


def test_under_each_error_stand_prediction_actual_and_probability(named):
    film = shown(named)["galleries"][0][1][0]
    assert film.title == "✕ called NORMAL"
    assert film.lines == ["is PNEUMONIA", "probability of PNEUMONIA < 0.001"]
    spanish = shown(named, "es")["galleries"][0][1][0]
    assert spanish.lines == ["es PNEUMONIA", "probabilidad de PNEUMONIA < 0,001"]


def test_two_classes_leave_the_confusions_to_the_matrix(named, run_of):
    assert shown(named)["confused"] == []
    several = run_of(classes=("a", "b", "c"))
    pairs = metrics_of(several)["test"]["errors"]["most_confused"]
    assert pairs
    assert shown(several)["confused"][0] == (pairs[0]["actual"], pairs[0]["predicted"],
                                                       str(pairs[0]["films"]))


def test_doubtful_labels_come_with_their_picture_and_their_split(named):
    found = doubted(named)
    assert found["lead"] == "Of 48 films looked at, 1 label is doubtful."
    assert "Only validation and test films" in found["asked"]
    film = found["films"][0]
    assert film.picture.startswith("data:image/jpeg")
    assert (film.title, film.lines) == ("labelled PNEUMONIA",
                                        ["looks like NORMAL, probability > 0.999", "Test"])


def test_training_films_are_said_to_be_scored_by_strangers(named):
    metrics = metrics_of(named)
    metrics["doubts"]["films"]["train"] = 90
    assert "a head that never saw their patient" in doubted(change(named, metrics))["asked"]


def test_no_doubt_and_no_error_are_said(named):
    metrics = metrics_of(named)
    metrics["doubts"] |= {"doubtful": {}, "found": []}
    metrics["test"]["errors"] |= {"wrong": 0, "top_losses": []}
    change(named, metrics)
    assert doubted(named)["lead"] == \
        "Of 48 films looked at, the network contradicts no label surely enough to doubt it."
    assert shown(named)["lead"] == "None of 36 films tested is wrong."


def test_a_network_that_may_be_guessing_casts_no_doubt(named):
    metrics = metrics_of(named)
    metrics["test"]["figures"]["auc"] |= {"value": 0.59, "low": 0.35, "high": 0.8}
    found = doubted(change(named, metrics))
    assert "can't be told from guessing" in found["lead"]
    assert found["films"] == []


def test_a_run_without_the_record_shows_no_section(finished_run, page):
    metrics = metrics_of(finished_run)
    del metrics["test"]["errors"], metrics["doubts"]
    assert page(change(finished_run, metrics)) == ""


def test_films_that_are_gone_leave_a_placeholder(named, page):
    shutil.rmtree(named.parent / "images")
    html = page(named)
    assert "<img" not in html
    assert "The film can no longer be found or read." in html


def test_file_names_and_labels_are_text(named, page):
    metrics = metrics_of(named)
    for record in (*metrics["test"]["errors"]["top_losses"], *metrics["doubts"]["found"]):
        record["id"] = '"><script>alert(1)</script>'
        record["label"] = record["suggested"] = "<i>A</i>"
    html = page(change(named, metrics))
    assert "<script" not in html
    assert "<i>A" not in html
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize("code", ["en", "es"])
def test_every_picture_has_words(named, page, code):
    images = re.findall(r"<img [^>]*>", page(named, code))
    assert len(images) == 16  # each small, and large to be opened
    assert all(re.search(r'alt="[^"]{10,}"', image) for image in images)


def test_films_that_were_called_rightly_are_spread_over_the_range_of_scores(finished_run):
    run = read_run(finished_run)
    table = run.predictions[(run.predictions["split"] == "test")
                            & (run.predictions["label"] == run.predictions["predicted"])]
    title, right = shown(finished_run)["galleries"][-1]
    assert title.startswith("For comparison")
    scores = [film.lines[0].removeprefix("score ") for film in right]
    assert len(scores) == 5
    assert scores == sorted(scores)
    assert [scores[0], scores[-1]] == [f"{table['p_PNEUMONIA'].agg(end):.3f}" for end in ("min", "max")]
