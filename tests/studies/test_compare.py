"""Finished runs compared by their validation films, against figures worked out by other means."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.runs.folder import RunError
from pneumo_tf.studies.compare import ComparisonError, Rank, Row, compare, write_comparison

CLASSES = ("NORMAL", "PNEUMONIA")
FILMS = 120

MakeRun = Callable[..., Path]


def make_cohort(classes: tuple[str, ...], films: int) -> Cohort:
    """Two films a patient; half of them validation, the others train and test."""
    splits = ("validation", "train", "validation", "test")
    return Cohort(tuple(Radiograph(f"{label}-{number}", label, file=f"{label}-{number}.jpeg",
                                   patient=f"{label}-p{number // 2}", split=splits[number // 2 % 4])
                        for label in classes for number in range(films)))


def make_run(folder: Path, *, signal: float = 1.0, seed: int = 1, noise: int | None = None,
             films: int = FILMS, classes: tuple[str, ...] = CLASSES, stress: float | None = None,
             **facts: Any) -> Path:
    """A run whose scores tell the classes apart the better, the larger the signal."""
    cohort = make_cohort(classes, films)
    truth = np.array([classes.index(film.label) for film in cohort])
    logits = np.random.default_rng(seed if noise is None else noise).normal(size=(len(cohort), len(classes)))
    logits += signal * np.eye(len(classes))[truth]
    values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame({"id": cohort.ids, "patient": cohort.patients, "split": [f.split for f in cohort],
                          "label": cohort.labels, "predicted": [classes[k] for k in values.argmax(axis=1)]})
    cohort.write_csv(folder / "split.csv")
    table = table.assign(**{f"p_{name}": values[:, k] for k, name in enumerate(classes)})
    table.sample(frac=1, random_state=seed).to_csv(folder / "predictions.csv", index=False)
    under = {} if stress is None else {"stress": {"mean": {"balanced_accuracy": {"value": stress}}}}
    (folder / "metrics.json").write_text(json.dumps({"test": {}, **under}))
    (folder / "history.csv").write_text("epoch,loss,accuracy,val_loss,val_accuracy\n1,0.7,0.5,0.6,0.6\n"
                                        "2,0.5,0.7,,0.8\n")
    told = {"classes": classes, "positive": classes[-1], "seed": seed, "recipe": "fast", "backbone": "b0",
            "command": ["python", "scripts/binary_class.py", "--seed", str(seed), "--resume"],
            "split_sha256": "ab" * 32, "split_by": "patient", "patients_known": True, "phantoms": False,
            "stages": [{"stage": "training", "seconds": 10.0 * seed}, {"stage": "figures", "seconds": 0.5}]}
    (folder / "run.json").write_text(json.dumps(told | facts))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> MakeRun:
    """Each call makes one more run."""
    made: list[Path] = []

    def make(**options: Any) -> Path:
        made.append(tmp_path / f"run{len(made)}")
        made[-1].mkdir()
        return make_run(made[-1], **options)

    return make


def validation(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "predictions.csv")
    return table[table["split"] == "validation"]


def test_figures_are_of_the_validation_films_and_agree_with_scikit_learn(run: MakeRun) -> None:
    folder = run()
    content = compare([Row("one", (folder,))], name="x", resamples=20)
    films, told = validation(folder), content["rows"][0]["runs"][0]
    truth = films["label"] == "PNEUMONIA"
    assert told["auc"] == pytest.approx(roc_auc_score(truth, films["p_PNEUMONIA"]))
    assert told["log_loss"] == pytest.approx(log_loss(truth, films["p_PNEUMONIA"]))
    assert told["accuracy"] == pytest.approx((films["label"] == films["predicted"]).mean())
    assert (content["films"], content["patients"]) == (FILMS, FILMS // 2)


def test_scores_that_dont_sum_to_one_are_judged_by_the_positives_alone(run: MakeRun) -> None:
    folder = run()
    table = pd.read_csv(folder / "predictions.csv")
    table["p_NORMAL"] = 0.001
    table.to_csv(folder / "predictions.csv", index=False)
    films = validation(folder)
    told = compare([Row("one", (folder,))], name="x", resamples=20)["rows"][0]["runs"][0]
    assert told["log_loss"] == pytest.approx(log_loss(films["label"] == "PNEUMONIA", films["p_PNEUMONIA"]))


def test_several_classes_are_ranked_by_the_mean_of_each_against_the_rest(run: MakeRun) -> None:
    folder = run(classes=("BACTERIA", "NORMAL", "VIRUS"))
    told = compare([Row("one", (folder,))], name="x", resamples=20)["rows"][0]["runs"][0]
    films = validation(folder)
    scores = films[["p_BACTERIA", "p_NORMAL", "p_VIRUS"]].to_numpy()
    assert told["auc"] == pytest.approx(roc_auc_score(films["label"], scores, multi_class="ovr"))
    assert told["log_loss"] == pytest.approx(log_loss(films["label"], scores))


def test_mean_and_sd_are_over_the_seeds(run: MakeRun) -> None:
    folders = [run(seed=seed) for seed in (1, 2, 4)]
    row = compare([Row("one", tuple(folders))], name="x", resamples=20)["rows"][0]
    areas = [roc_auc_score(films["label"] == "PNEUMONIA", films["p_PNEUMONIA"])
             for films in map(validation, folders)]
    mean = sum(areas) / 3
    by_hand = (sum((area - mean) ** 2 for area in areas) / 2) ** 0.5
    assert row["figures"]["auc"] == {"mean": pytest.approx(mean), "sd": pytest.approx(by_hand), "n": 3}
    assert row["figures"]["seconds"]["mean"] == pytest.approx(statistics.fmean([10.5, 20.5, 40.5]))
    assert row["figures"]["epochs"] == {"mean": 2, "sd": 0, "n": 3}
    assert [told["seed"] for told in row["runs"]] == [1, 2, 4]


def test_one_seed_has_no_sd(run: MakeRun) -> None:
    content = compare([Row("one", (run(),))], name="x", resamples=20)
    assert content["rows"][0]["figures"]["auc"]["sd"] is None
    assert content["rows"][0]["difference"] is None


def test_rows_come_by_validation_auc_whatever_the_test_films_say(run: MakeRun) -> None:
    weak, strong = run(signal=0.3, seed=1), run(signal=1.5, seed=2)
    table = pd.read_csv(strong / "predictions.csv")
    table.loc[table["split"] == "test", ["p_NORMAL", "p_PNEUMONIA"]] = 0.5  # worthless on the test films
    table.to_csv(strong / "predictions.csv", index=False)
    rows = compare([Row("weak", (weak,)), Row("strong", (strong,))], name="x", resamples=200)["rows"]
    assert [row["name"] for row in rows] == ["strong", "weak"]
    assert rows[1]["difference"]["value"] == pytest.approx(
        rows[1]["figures"]["auc"]["mean"] - rows[0]["figures"]["auc"]["mean"])
    assert rows[1]["difference"]["high"] < 0


def test_equal_rows_differ_by_nothing_at_all(run: MakeRun) -> None:
    same = {"noise": 5}
    rows = compare([Row("a", (run(seed=1, **same), run(seed=2, noise=6))),
                    Row("b", (run(seed=1, **same), run(seed=2, noise=6)))], name="x", resamples=100)["rows"]
    assert rows[1]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_pairs_are_judged_on_the_same_patients(run: MakeRun) -> None:
    """Rows that err on the same films have a difference that is far surer than that of other rows."""
    one, other = run(noise=5, signal=1.0), run(noise=5, signal=1.05)
    apart = run(noise=9, signal=1.0)

    def width(first: Path, second: Path) -> float:
        rows = compare([Row("a", (first,)), Row("b", (second,))], name="x", resamples=400)["rows"]
        return float(rows[1]["difference"]["high"] - rows[1]["difference"]["low"])

    assert width(one, other) < width(other, apart) / 4


def test_patients_are_drawn_and_not_films(run: MakeRun) -> None:
    """Where every patient's second film scores like the first, it tells nothing new."""
    twice, once = [run(noise=5), run(noise=9)], [run(noise=5), run(noise=9)]
    for folder in (*twice, *once):
        table = pd.read_csv(folder / "predictions.csv").sort_values("id")
        first = table.groupby("patient").head(1)
        scores = table[["patient"]].merge(first[["patient", "p_NORMAL", "p_PNEUMONIA"]], on="patient")
        table[["p_NORMAL", "p_PNEUMONIA"]] = scores[["p_NORMAL", "p_PNEUMONIA"]].to_numpy()
        (first if folder in once else table).to_csv(folder / "predictions.csv", index=False)

    def difference(folders: list[Path]) -> dict[str, float]:
        rows = [Row(name, (folder,)) for name, folder in zip("ab", folders, strict=True)]
        return dict(compare(rows, name="x", resamples=100)["rows"][1]["difference"])

    assert difference(twice) == pytest.approx(difference(once))


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says(run: MakeRun) -> None:
    """Two rows with the same signal and independent noise: the truth is a difference of zero."""
    covered = 0
    for trial in range(40):
        rows = [Row(name, (run(seed=number, noise=1000 + 2 * trial + number, films=60),))
                for number, name in enumerate("ab")]
        difference = compare(rows, name="x", resamples=200)["rows"][1]["difference"]
        covered += difference["low"] <= 0 <= difference["high"]
    assert 34 <= covered <= 40


def test_a_row_without_a_name_is_called_by_its_recipe_and_backbone(run: MakeRun) -> None:
    assert compare([Row("", (run(),))], name="x", resamples=20)["rows"][0]["name"] == "fast · b0"


def test_the_command_repeats_the_run_and_doesnt_resume_it(run: MakeRun) -> None:
    told = compare([Row("one", (run(seed=3),))], name="x", resamples=20)["rows"][0]["runs"][0]
    assert told["command"] == "python scripts/binary_class.py --seed 3"


def test_gaps_in_a_history_stay_gaps(run: MakeRun) -> None:
    told = compare([Row("one", (run(),))], name="x", resamples=20)["rows"][0]["runs"][0]
    assert told["history"] == {"epoch": [1, 2], "loss": [0.7, 0.5], "accuracy": [0.5, 0.7],
                               "val_loss": [0.6, None], "val_accuracy": [0.6, 0.8]}


def test_runs_on_different_splits_are_not_compared(run: MakeRun) -> None:
    first, second = run(), run(split_sha256="cd" * 32)
    with pytest.raises(ComparisonError, match=r"split alike. Received: .*run0 and .*run1"):
        compare([Row("a", (first,)), Row("b", (second,))], name="x")


def test_runs_on_different_films_are_not_compared_even_where_no_hash_tells(run: MakeRun) -> None:
    first, second = run(split_sha256=None), run(split_sha256=None, films=FILMS - 4)
    with pytest.raises(ComparisonError, match="split alike"):
        compare([Row("a", (first,)), Row("b", (second,))], name="x")


def test_validation_films_of_one_class_cant_be_compared(run: MakeRun) -> None:
    folder = run()
    table = pd.read_csv(folder / "predictions.csv")
    table[(table["split"] != "validation") | (table["label"] == "NORMAL")].to_csv(
        folder / "predictions.csv", index=False)
    with pytest.raises(ComparisonError, match="every class"):
        compare([Row("a", (folder,))], name="x")


def test_an_unfinished_run_is_an_error_that_names_the_missing_file(run: MakeRun) -> None:
    folder = run()
    (folder / "predictions.csv").unlink()
    with pytest.raises(RunError, match=r"no predictions.csv"):
        compare([Row("a", (folder,))], name="x")


def test_the_files_hold_the_table_and_nothing_of_the_test_films(run: MakeRun, tmp_path: Path) -> None:
    rows = [Row("size 32", (run(seed=1, signal=2.0), run(seed=2, signal=2.0)), {"size": "32"}),
            Row("size 64", (run(seed=1), run(seed=2)), {"size": "64"})]
    content = compare(rows, name="sizes", resamples=50)
    page = write_comparison(content, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/comparison.csv")
    assert list(table["row"]) == ["size 32", "size 64"]
    assert list(table["size"]) == [32, 64]
    assert list(table["seeds"]) == ["1 2", "1 2"]
    assert table["difference_value"][0] == 0
    assert np.isnan(table["difference_low"][0])
    assert table["validation_auc"][1] == pytest.approx(content["rows"][1]["figures"]["auc"]["mean"])
    assert json.loads((tmp_path / "out/comparison.json").read_text()) == content
    assert page == tmp_path / "out/comparison.html"
    assert not [column for column in table.columns if "test" in column]


def test_rows_are_ordered_by_stress_on_request_and_told_beside_it(run: MakeRun) -> None:
    good_inside, sturdy = run(signal=3.0, stress=0.7), run(signal=1.0, seed=2, stress=0.9)
    rows = [Row("good inside", (good_inside,)), Row("sturdy", (sturdy,))]
    by_area, by_stress = (compare(rows, name="x", resamples=20, rank=rank) for rank in get_args(Rank))
    assert [row["name"] for row in by_area["rows"]] == ["good inside", "sturdy"]
    assert [row["name"] for row in by_stress["rows"]] == ["sturdy", "good inside"]
    assert [row["figures"]["stress"]["mean"] for row in by_stress["rows"]] == [0.9, 0.7]
    assert (by_area["rank"], by_stress["rank"]) == get_args(Rank)
    assert by_stress["rows"][0]["difference"] is None
    assert by_stress["rows"][1]["difference"]["value"] > 0  # of the areas, as ever


def test_stress_is_the_mean_over_the_seeds(run: MakeRun) -> None:
    row = compare([Row("one", tuple(run(seed=seed, stress=stress) for seed, stress in ((1, 0.8), (2, 0.9))))],
                  name="x", resamples=20, rank="stress")["rows"][0]
    assert row["figures"]["stress"]["mean"] == pytest.approx(0.85)


def test_a_run_without_stress_is_compared_by_its_area_but_not_ranked_by_stress(run: MakeRun) -> None:
    rows = [Row("old", (run(),)), Row("new", (run(stress=0.9),))]
    assert len(compare(rows, name="x", resamples=20)["rows"]) == 2
    with pytest.raises(ComparisonError, match=r"every training measured it\. .*run0, without a record"):
        compare(rows, name="x", resamples=20, rank="stress")


@pytest.mark.parametrize(("lang", "said"), [("en", "Highest mean balanced accuracy on stressed"),
                                            ("es", "Mayor exactitud equilibrada media")])
def test_the_page_says_what_ranked_the_rows(run: MakeRun, tmp_path: Path, lang: str, said: str) -> None:
    rows = [Row("a", (run(stress=0.8),)), Row("b", (run(signal=2.0, stress=0.7),))]
    for rank, is_said in (("auc", False), ("stress", True)):
        content = compare(rows, name="x", resamples=20, rank=rank)
        page = write_comparison(content, tmp_path / rank, lang=lang).read_text(encoding="utf-8")
        assert (said in page) is is_said
