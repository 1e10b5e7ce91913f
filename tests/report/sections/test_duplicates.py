import json

import pytest

from pneumo_tf.report.sections.duplicates import DUPLICATES, content
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import read_run


def record(*ids, splits=("train", "test"), labels=("NORMAL", "NORMAL"), patients=("p1", "")):
    return {"ids": list(ids), "splits": list(splits), "labels": list(labels), "patients": list(patients),
            "likeness": 0.9876}


@pytest.fixture
def run_with(finished_run):
    def make(*records, across=0):
        metrics = json.loads((finished_run / "metrics.json").read_text())
        metrics["near_duplicates"] = {"films": 120, "pairs": len(records), "across": across,
                                      "found": list(records)}
        (finished_run / "metrics.json").write_text(json.dumps(metrics))
        return finished_run
    return make


def shown(run, code="en"):
    return content(read_run(run), language(code))


def test_pairs_across_the_split_stand_side_by_side_with_splits_and_patients(run_with):
    found = shown(run_with(record("NORMAL-0", "NORMAL-9"), across=1))
    assert "Pairs of the same picture among 120 films: 1, of which 1 on two sides" in found["verdict"]
    pair = found["pairs"][0]
    assert pair["sentence"] == "On two sides of the split. Correlation 0.988."
    assert [(film.title, *film.lines) for film in pair["films"]] == [
        ("Training", "NORMAL", "patient p1"), ("Test", "NORMAL", "patient unknown")]
    assert all(film.is_wrong and film.picture for film in pair["films"])


def test_pairs_within_a_split_are_no_leak(run_with):
    found = shown(run_with(record("NORMAL-0", "NORMAL-1", splits=("train", "train"))), "es")
    assert "ninguno a ambos lados" in found["verdict"]
    assert not any(film.is_wrong for film in found["pairs"][0]["films"])


def test_one_picture_under_two_labels_is_said(run_with):
    found = shown(run_with(record("NORMAL-0", "PNEUMONIA-1", labels=("NORMAL", "PNEUMONIA")), across=1))
    assert "if it is the same film, one of them is wrong" in found["pairs"][0]["sentence"]


def test_no_pair_is_good_news_in_one_sentence(run_with, filled):
    html = filled(DUPLICATES, read_run(run_with()))
    assert "No two of 120 films look the same." in html
    assert "<figure" not in html


def test_more_pairs_than_have_room_are_counted(run_with):
    found = shown(run_with(*[record(f"NORMAL-{n}", f"NORMAL-{n + 1}") for n in range(9)], across=9))
    assert len(found["pairs"]) == 6
    assert found["more"].startswith("… and 3 pairs more")


def test_a_run_in_which_nobody_looked_shows_no_section(finished_run):
    assert shown(finished_run) is None


def test_names_of_films_that_are_gone_are_text(run_with, filled):
    run = run_with(record("<script>1</script>", "gone", patients=("<b>", "&")), across=1)
    html = filled(DUPLICATES, read_run(run))
    assert "<script" not in html
    assert "<b>&lt;" not in html
    assert "patient &lt;b&gt;" in html
