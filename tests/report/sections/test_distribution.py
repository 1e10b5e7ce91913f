import json

import pytest

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.report.sections.distribution import DISTRIBUTION, content
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import read_run


def shown(run, code="en"):
    (run / "figures").mkdir(exist_ok=True)
    return content(read_run(run), language(code))


def with_splits(run, **films):
    """Replace split.csv by so many (NORMAL, PNEUMONIA) films in each split."""
    rows = [Radiograph(f"{split}-{label}-{number}", label, split=split) for split, counts in films.items()
            for label, count in zip(("NORMAL", "PNEUMONIA"), counts, strict=True) for number in range(count)]
    Cohort(tuple(rows)).write_csv(run / "split.csv")
    return run


def test_equal_shares_let_predictive_values_carry_over(finished_run):
    said = shown(with_splits(finished_run, train=(100, 300), validation=(25, 75), test=(50, 150)))["implies"]
    assert "as frequent among the validation films (75.0%) as among the test films (75.0%)" in said[0]
    assert "learnt from the mixture that it is tested on" in said[1]
    assert "accuracy and predictive values don't" in said[2]


def test_kermanys_own_folders_are_told_apart(finished_run):
    said = shown(with_splits(finished_run, train=(1341, 3875), validation=(8, 8), test=(234, 390)), "es")
    assert "el 50,0\u00a0% de las imágenes de validación, pero el 62,5\u00a0% de las de prueba" in \
        said["implies"][0]
    assert "74,3\u00a0% de las imágenes de entrenamiento" in said["implies"][1]


def test_the_chart_can_be_read_aloud_and_has_every_number(finished_run):
    found = shown(with_splits(finished_run, train=(10, 30), validation=(4, 6), test=(5, 1234)))
    assert "Test, PNEUMONIA: 1,234 films, 99.6%" in found["alt"]
    assert "Training, NORMAL: 10 films, 25.0%" in found["alt"]
    for number in ("10", "30", "4", "6", "5", "1,234"):
        assert f">{number}</text>" in found["chart"]


def test_validation_stands_beside_itself_drawn_like_the_test(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    drawn = metrics["validation"]["resampling"]
    found = shown(finished_run)
    rows = {plain.name: (plain, drawn_alike) for plain, drawn_alike in found["rows"]}
    assert rows["F1"][1].value == f"{drawn['figures']['f1']['value']:.3f}"
    assert rows["F1"][0].value == f"{metrics['validation']['figures']['f1']['value']:.3f}"
    assert f"became {drawn['drawn']} by repeating" in found["resampled"]


@pytest.mark.parametrize("resampling", [None, {"why": "class_without_validation"}])
def test_a_run_without_the_draw_leaves_it_out(finished_run, resampling):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    metrics["validation"] |= {"resampling": resampling}
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    assert shown(finished_run)["rows"] == []


def test_several_classes_name_the_one_that_differs_most(run_of):
    run = run_of(classes=("a", "b", "c"))
    rows = [Radiograph(f"{split}{label}{number}", label, split=split)
            for split, counts in {"train": (9, 9, 9), "validation": (3, 3, 3), "test": (3, 3, 30)}.items()
            for label, count in zip("abc", counts, strict=True) for number in range(count)]
    Cohort(tuple(rows)).write_csv(run / "split.csv")
    assert shown(run)["implies"][0].startswith("c makes up 33.3% of the validation films, but 83.3%")


def test_class_names_are_text(run_of, filled):
    run = run_of(classes=("<b>A</b>", "B&C"))
    (run / "figures").mkdir(exist_ok=True)
    html = filled(DISTRIBUTION, read_run(run))
    assert "<b>A" not in html
    assert "&lt;b&gt;A" in html
