"""Perturbed films, and several views of each, as evaluate_model.py left them in robustness.json."""

from __future__ import annotations

from functools import partial
from typing import Any

from pneumo_tf.evaluation.stressed import FOR_TWO
from pneumo_tf.report.charts.pictures import stored_picture
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Cell, Language, Write, bar_of
from pneumo_tf.runs.folder import PERTURBED_FILMS, ROBUSTNESS, RunFolder

# An accuracy that may have changed by this much isn't called unchanged.
_WIDE = 0.1


def perturbed(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """What small changes of the films change; None where the run's films weren't scored again.

    Raises:
        RunError: The record is no JSON.
    """
    record = run.record(ROBUSTNESS)
    if not record.get("perturbations"):
        return None
    lead = words.say("robust.lead", films=words.count(record["films"], "film"),
                     patients=words.count(record["patients"], "patient"), of=words.number(record["of"]))
    held = {row["name"]: row for row in (record.get("stress") or {}).get("perturbations", [])}
    return {"lead": lead, "most": _most(record, words), "stress": _stress(record, words),
            "is_held": run.is_binary and bool(held),
            "original": stored_picture(run.path / PERTURBED_FILMS / "original.jpeg"),
            "rows": [_perturbed(row, run, words) | {"held": _held(held.get(row["name"], {}), words)}
                     for row in record["perturbations"]]}


def _stress(record: dict[str, Any], words: Language) -> list[str]:
    """The mean and the worst balanced accuracy, and what the changes acted on; nothing in an older record."""
    stress = record.get("stress")
    if not stress or stress["mean"]["balanced_accuracy"]["value"] is None:
        return []
    told = {}
    for name in ("clean", "mean", "worst"):
        value, interval = words.estimate(stress[name]["balanced_accuracy"], words.percent)
        told[name] = f"{value} ({interval})" if interval else value
    key = "robust.mean" if "sensitivity" in stress["mean"] else "robust.mean.several"
    return [words.say(key, **told, name=words.say(f"robust.{stress['worst']['name']}")),
            words.say(f"robust.acts.{stress['acts_on']}")]


def _held(row: dict[str, Any], words: Language) -> list[Cell]:
    """Sensitivity and specificity after a change, each with its interval."""
    return [words.estimate(row[name], words.percent) for name in FOR_TWO if name in row]


def _most(record: dict[str, Any], words: Language) -> str:
    """The small change that changes most calls, in a sentence; a negative is no small change."""
    most = max((row for row in record["perturbations"] if row["name"] != "negative"),
               key=lambda row: float(row["changed"]["value"]))
    if not most["changed"]["count"]:
        return words.say("robust.none")
    return words.say("robust.most", name=words.say(f"robust.{most['name']}"),
                     share=words.percent(most["changed"]["value"]))


def _perturbed(row: dict[str, Any], run: RunFolder, words: Language) -> dict[str, Any]:
    """How many films are called otherwise, and how the scores and the area change."""
    share = row["changed"]
    counts = words.say("result.of", count=words.number(share["count"]), of=words.number(share["of"]))
    shifts = ((name, row["shift"][name]["value"]) for name in run.classes)
    area, interval = _change(row["auc"], partial(words.signed, digits=3), words)
    return {"name": words.say(f"robust.{row['name']}"),
            "picture": stored_picture(run.path / PERTURBED_FILMS / f"{row['name']}.jpeg"),
            "changed": f"{words.percent(share['value'])} ({counts})", "bar": bar_of(share),
            "shifts": [(name, "–" if shift is None else words.signed(shift, 2)) for name, shift in shifts],
            "area": words.say("robust.area.cell", change=area or "–"), "interval": interval}


def views(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """Several views of each film made into one score; None where the run's films weren't scored again.

    Raises:
        RunError: The record is no JSON.
    """
    record = run.record(ROBUSTNESS)
    if not record:
        return None
    found = record["views"]
    return {"lead": words.say("tta.lead", views=found["count"], preset=found["preset"]),
            "verdict": _verdict(record, words), "tables": _tables(record, words),
            "columns": [words.named("figure", name) for name in found["ways"][0]["own"]["figures"]]}


def _tables(record: dict[str, Any], words: Language) -> list[tuple[str, list[dict[str, Any]]]]:
    """A title and the rows at each kind of threshold."""
    ways = record["views"]["ways"]
    films = words.count(record["views"]["validation_films"], "film")
    titles = {"own": words.say("tta.own" if record["threshold"] is not None else "tta.several"),
              "refixed": words.say("tta.refixed", films=films)}
    return [(title, [_combined(way["name"], way[kind], words) for way in ways])
            for kind, title in titles.items() if ways[0][kind]]


def _combined(name: str, found: dict[str, Any], words: Language) -> dict[str, Any]:
    threshold = "" if found["threshold"] is None else \
        words.say("tta.threshold", threshold=words.number(found["threshold"], 3))
    cells = []
    for figure, content in found["figures"].items():
        value, _ = words.estimate(content, words.percent)
        cells.append((value, *_change((found["changes"] or {}).get(figure), words.points, words)))
    return {"name": words.say(f"tta.way.{name}"), "means": words.say(f"tta.way.{name}.means"),
            "threshold": threshold, "figures": cells}


def _verdict(record: dict[str, Any], words: Language) -> list[str]:
    """Whether the maximum may be used, in sentences."""
    verdict, ways = record["views"]["verdict"], {way["name"]: way for way in record["views"]["ways"]}
    gain = _gain(verdict["gain"], ways[verdict["way"]], words)
    if verdict["rise"] is None or verdict["rise"]["value"] is None:
        return [words.say("tta.verdict.several"), *gain]
    changes = ways[verdict["way"]]["own"]["changes"]
    lost, interval = _change(changes["specificity"], words.points, words)
    rise = words.say("tta.verdict.rise", rise=words.number(verdict["rise"]["value"], 3),
                     positive=record["positive"], specificity=f"{lost} ({interval})" if interval else lost)
    return [rise, words.say("tta.verdict.threshold"), *gain]


def _gain(gain: str, way: dict[str, Any], words: Language) -> list[str]:
    """What the way brings to the accuracy, and to any other figure beyond chance."""
    changes = (way["refixed"] or way["own"])["changes"]
    accuracy = changes["accuracy"]
    if gain == "same" and accuracy["low"] is not None and accuracy["high"] - accuracy["low"] > _WIDE:
        gain = "unknown"
    moved = [f"{words.named('figure', name)} {' '.join(_change(change, words.points, words))}"
             for name, change in changes.items() if name != "accuracy" and change["low"] is not None
             and not change["low"] <= 0 <= change["high"]]
    also = [words.say("tta.gain.also", figures=", ".join(moved))] if moved and gain != "unknown" else []
    return [words.say(f"tta.gain.{gain}", way=words.say(f"tta.way.{way['name']}").lower()), *also]


def _change(change: dict[str, Any] | None, write: Write, words: Language) -> Cell:
    """How much a figure changes, and the interval of that; nothing where it can't be said."""
    return ("", "") if change is None or change["value"] is None else words.estimate(change, write)


ROBUST = Section("robust", perturbed, "trust", 50, answers=("robustness",))
VIEWS = Section("tta", views, "trust", 60, answers=("robustness",))
