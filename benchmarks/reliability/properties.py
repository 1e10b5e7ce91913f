"""Properties of whole runs on phantoms: what must not change a result, and what a leak must do to one.

    python benchmarks/reliability/properties.py

Each training is the recipe fast at 32 pixels with random weights. Figures go to results/properties.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import kills
import numpy as np
from scipy import stats

from pneumo_tf.storage import read_json, write_json

RESULTS = kills.HERE / "results/properties.json"
TRAIN = ("binary_class", "--recipe", "fast", "-e", "5", *kills.SMALL)
_SAME = 2e-5  # of a score in float32, where sums are added up in another order


def trained(folder: Path, *more: str, name: str, labels: str = "labels/labels.csv",
            films: str = "clasificacion") -> Path:
    """Train, and put the run aside under a name."""
    words = [{"labels/labels.csv": labels, "clasificacion": films}.get(word, word) for word in TRAIN]
    if kills.finish((*words, *more), folder):
        raise SystemExit((folder.parent / "said.txt").read_text()[-3000:])
    run = max(folder.glob("model/runs/2*"))
    return run.rename(folder / "model/runs" / name)


def table(run: Path) -> dict[str, dict[str, str]]:
    """predictions.csv by id."""
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def scores(run: Path, positive: str) -> dict[str, float]:
    return {name: float(row[f"p_{positive}"]) for name, row in table(run).items()}


def difference(one: Path, other: Path, positive: str, called: str = "") -> tuple[float, int]:
    """The largest difference of a score, and how many films lie in another split."""
    mine, theirs = table(one), table(other)
    if mine.keys() != theirs.keys():
        return float("inf"), len(mine.keys() ^ theirs.keys())
    a, b = scores(one, positive), scores(other, called or positive)
    return max(abs(a[name] - b[name]) for name in a), sum(mine[name]["split"] != theirs[name]["split"]
                                                          for name in mine)


def relabelled(folder: Path, target: str, change: Callable[[list[dict[str, str]]], None]) -> str:
    """A labels table of which something is changed."""
    with (folder / "labels/labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with (folder / target).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return target


def permuted_rows(folder: Path, first: Path) -> dict[str, object]:
    """The rows of the labels in another order."""
    def change(rows: list[dict[str, str]]) -> None:
        np.random.default_rng(0).shuffle(rows)  # type: ignore[arg-type]

    other = trained(folder, name="permuted", labels=relabelled(folder, "permuted.csv", change))
    worst, moved = difference(first, other, "PNEUMONIA")
    return {"difference": worst, "moved": moved, "holds": worst <= _SAME and not moved}


def renamed_classes(folder: Path, first: Path) -> dict[str, object]:
    """Classes whose names stand in the other order of the alphabet, with the positive one told."""
    names = {"NORMAL": "ZONA", "PNEUMONIA": "ALFA"}

    def change(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["clase"] = names[row["clase"]]

    other = trained(folder, "--positive", "ALFA", name="renamed",
                    labels=relabelled(folder, "renamed.csv", change))
    worst, moved = difference(first, other, "PNEUMONIA", "ALFA")
    one, two = (read_json(run / "metrics.json")["test"]["figures"] for run in (first, other))
    figures = max(abs((one[name]["value"] or 0) - (two[name]["value"] or 0)) for name in one)
    return {"difference": worst, "moved": moved, "figures": figures,
            "holds": worst <= 1e-3 and not moved and figures <= 1e-3}


def a_film_twice(folder: Path, first: Path) -> dict[str, object]:
    """Films written once more under other names, every other one to the byte: no pair on two sides."""
    from PIL import Image

    shutil.copytree(folder / "clasificacion", folder / "twice")
    for name in ("manifest.csv", "prepared.json"):
        (folder / "twice" / name).unlink()
    twins: list[dict[str, str]] = []

    def change(rows: list[dict[str, str]]) -> None:
        for number, row in enumerate(rows[::5]):
            twins.append({**row, "id": f"copy-{row['id']}", "file": f"copy-{row['file']}"})
            film, copy = folder / "twice" / row["file"], folder / "twice" / twins[-1]["file"]
            if number % 2:
                shutil.copy(film, copy)
            else:
                with Image.open(film) as image:
                    image.save(copy, quality=70)
        rows += twins

    labels = relabelled(folder, "twice.csv", change)
    split = {name: row["split"] for name, row in table(trained(folder, name="twice", labels=labels,
                                                               films="twice")).items()}
    both = [twin["id"] for twin in twins if {twin["id"], twin["id"].removeprefix("copy-")} <= split.keys()]
    crossing = sum(split[name] != split[name.removeprefix("copy-")] for name in both)
    return {"pairs": len(twins), "left_out": len(twins) - len(both), "crossing": crossing,
            "holds": crossing == 0}


def another_cache(folder: Path, first: Path) -> dict[str, object]:
    """With an empty cache, and then with the one that this fills."""
    trained(folder, "--cache", "another", name="uncached")
    other = trained(folder, "--cache", "another", name="cached")
    worst, moved = difference(first, other, "PNEUMONIA")
    return {"difference": worst, "moved": moved, "holds": worst <= _SAME and not moved}


def predicted_alone(folder: Path, first: Path) -> dict[str, object]:
    """A film's score in its training, from predict_pict.py among all films, and of three films alone."""
    own, found = scores(first, "PNEUMONIA"), {}
    some = [str(path.relative_to(folder)) for path in sorted((folder / "clasificacion").glob("*.jpeg"))[::30]]
    for name, given in (("all", ["clasificacion"]), ("some", some)):
        command = ("predict_pict", *given, "--run", str(first.relative_to(folder)), "-o", f"{name}.csv",
                   "--engine", "keras")
        if kills.finish(command, folder):
            raise SystemExit((folder.parent / "said.txt").read_text()[-3000:])
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            found[name] = {Path(row["id"]).stem: float(row["score"]) for row in csv.DictReader(file)
                           if row["score"]}
    among = max(abs(value - own[name]) for name, value in found["all"].items())
    alone = max(abs(value - found["all"][name]) for name, value in found["some"].items())
    return {"films": len(found["all"]), "from_training": among, "alone": alone,
            "holds": bool(among <= _SAME and alone <= _SAME)}


def repeated(folder: Path, first: Path) -> dict[str, object]:
    """--from run.json."""
    command = ("binary_class", "--from", str(first / "run.json"), "-o", "model", "--no-publish")
    if kills.finish(command, folder):
        raise SystemExit((folder.parent / "said.txt").read_text()[-3000:])
    other = max(folder.glob("model/runs/2*")).rename(folder / "model/runs/again")
    same = [(first / name).read_bytes() == (other / name).read_bytes()
            for name in ("predictions.csv", "split.csv", "model.json")]
    weights = kills._content(first / "modelo.keras", folder) == kills._content(other / "modelo.keras", folder)
    return {"files": all(same), "weights": weights, "holds": all(same) and weights}


def shuffled_labels(folder: Path, first: Path, *, runs: int = 30) -> dict[str, object]:
    """Labels dealt to the patients anew, thirty times: their mean AUC must be a half, give or take;
    with the label drawn into a corner of each film it must not."""
    found: dict[str, list[float]] = {"shuffled": [], "leak": []}
    for number in range(runs):
        def change(rows: list[dict[str, str]], number: int = number) -> None:
            patients = sorted({row["patient"] for row in rows})
            label_of = {row["patient"]: row["clase"] for row in rows}
            dealt = np.random.default_rng(number).permutation([label_of[patient] for patient in patients])
            for row in rows:
                row["clase"] = str(dealt[patients.index(row["patient"])])
                row.pop("subtype", None)

        labels = relabelled(folder, f"shuffled-{number}.csv", change)
        run = trained(folder, name=f"shuffled-{number}", labels=labels)
        found["shuffled"].append(read_json(run / "metrics.json")["test"]["figures"]["auc"]["value"])
        if number < 5:
            films = _marked(folder, labels, number)
            leak = trained(folder, name=f"leak-{number}", labels=labels, films=films)
            found["leak"].append(read_json(leak / "metrics.json")["test"]["figures"]["auc"]["value"])
    told = {name: _interval(values) for name, values in found.items()}
    return {**{name: [round(end, 3) for end in ends] for name, ends in told.items()}, "runs": runs,
            "holds": bool(told["shuffled"][0] <= 0.5 <= told["shuffled"][1]
                          and told["leak"][0] > 0.5)}


def _marked(folder: Path, labels: str, number: int) -> str:
    """The films, with a white corner where the shuffled label is the positive one."""
    from PIL import Image

    target = folder / f"marked-{number}"
    shutil.copytree(folder / "clasificacion", target)
    (target / "prepared.json").unlink()
    (target / "manifest.csv").unlink()
    with (folder / labels).open(encoding="utf-8", newline="") as file:
        ill = {row["id"] for row in csv.DictReader(file) if row["clase"] == "PNEUMONIA"}
    for path in target.rglob("*.jpeg"):
        with Image.open(path) as image:
            film = image.convert("L")
        side = film.width // 3
        film.paste(255 if path.name in ill or path.stem in ill else 0, (0, 0, side, side))
        film.save(path, quality=95)
    return target.name


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """99 % of the mean, by Student's t."""
    mean, error = float(np.mean(values)), float(stats.sem(values))
    reach = float(stats.t.ppf(0.995, len(values) - 1)) * error
    return mean - reach, mean + reach


PROPERTIES = {"the order of the rows": permuted_rows, "the names of the classes": renamed_classes,
              "a film twice": a_film_twice, "the cache": another_cache,
              "neighbours in a batch": predicted_alone,
              "--from run.json": repeated, "shuffled labels, and a leak": shuffled_labels}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PROPERTIES, default=list(PROPERTIES))
    parser.add_argument("--ready", type=Path, help="a folder as kills.py makes it, to begin from")
    parser.add_argument("--results", type=Path, default=RESULTS)
    typed = parser.parse_args()
    kills.import_the_slow()
    place = Path(tempfile.mkdtemp(prefix="properties-"))
    folder = place / "work"
    shutil.copytree(typed.ready or kills.make_ready(place, with_run=False), folder)
    shutil.rmtree(folder / "model", ignore_errors=True)
    first = trained(folder, name="first")
    found = read_json(typed.results) if typed.results.is_file() else {}
    for name in typed.only:
        found[name] = {**PROPERTIES[name](folder, first), "measured": date.today().isoformat()}
        print(name, json.dumps(found[name]), flush=True)
        write_json(typed.results, found)
    shutil.rmtree(place)
    return int(not all(found[name]["holds"] for name in typed.only))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
