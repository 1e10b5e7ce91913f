"""What repeats.json says, put into words: other splits, and fewer patients to learn from."""

from __future__ import annotations

from typing import Any

from pneumo_tf.report.charts.curves import patient_curves, split_dots
from pneumo_tf.report.charts.drawing import drawn
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import FIGURES, REPEATS, RunFolder


def splits(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """The figures over other splits; None where there are none.

    Raises:
        RunError: repeats.json can't be read.
    """
    record = run.record(REPEATS)
    if not record:
        return None
    number = words.number(record["repeats"])
    points = "; ".join(words.say("repeat_splits.point", name=words.say(f"figure.{name}"),
                                 values=", ".join(words.decimals(split["figures"][name])
                                                  for split in record["splits"]),
                                 own=words.decimals(figure["own"]))
                       for name, figure in record["figures"].items())
    return {"lead": words.say("repeat_splits.lead", n=number),
            "chart": drawn("repeat_splits", lambda: split_dots(record, words), run.path / FIGURES),
            "alt": words.say("repeat_splits.alt", points=points),
            "rows": [_spread_row(name, figure, words) for name, figure in record["figures"].items()],
            "caveats": _caveats(run, words), "luck": _luck(record, run, words),
            "overlap": words.say("repeat_splits.sd", n=number, ratio=words.number(record["test_to_rest"], 2)),
            "names": [words.say(f"figure.{name}") for name in record["figures"]],
            "splits": [_split_row(split, words) for split in (record["own"], *record["splits"])]}


def learning(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """What fewer patients teach, and whether more would help; None where it wasn't tried.

    Raises:
        RunError: repeats.json can't be read.
    """
    record = run.record(REPEATS)
    if not record:
        return None
    found, area = record["learning"], _area(run)
    points = "; ".join(words.say("learning.point", patients=words.number(size["patients"]),
                                 area=words.decimals(size["area"]["value"]),
                                 loss=words.decimals(size["log_loss"]["value"])) for size in found["sizes"])
    # Whether more films would help, by each figure; what holds for both is said once.
    answers = dict.fromkeys(_answer(name, found["outlook"][key], words)
                            for key, name in (("area", area), ("log_loss", "log_loss")))
    return {"answers": list(answers), "lead": words.say("learning.lead", draws=words.number(found["draws"])),
            "chart": drawn("learning", lambda: patient_curves(found, area, words), run.path / FIGURES),
            "alt": words.say("learning.alt", name=words.say(f"figure.{area}"), points=points),
            "names": [words.say(f"figure.{name}") for name in (area, "log_loss")],
            "sizes": [_size_row(size, words) for size in found["sizes"]]}


def _area(run: RunFolder) -> str:
    return "auc" if run.is_binary else "macro_auc"


def _spread_row(name: str, figure: dict[str, Any], words: Language) -> dict[str, str]:
    mean = words.say("repeat_splits.mean_sd", mean=words.decimals(figure["value"]),
                     sd=words.decimals(figure["sd"]))
    return {"name": words.say(f"figure.{name}"), "own": words.decimals(figure["own"]), "mean": mean,
            "interval": words.interval(figure, words.decimals) or "–"}


def _split_row(split: dict[str, Any], words: Language) -> list[str]:
    """Its seed, which for the run's own is said in words; its test films and patients, and its figures."""
    return [words.say("repeat_splits.this") if "seed" not in split else str(split["seed"]),
            words.say("split.cell", films=words.number(split["films"]["test"]),
                      patients=words.number(split["patients"]["test"])),
            *(words.decimals(value) for value in split["figures"].values())]


def _luck(record: dict[str, Any], run: RunFolder, words: Language) -> str:
    """Where the area of the run's own split lies among the others'."""
    figure = record["figures"][_area(run)]
    own, least, most = (round(figure[key], 3) for key in ("own", "least", "most"))
    kind = "above" if own > most else "below" if own < least else "within"
    return words.say(f"repeat_splits.{kind}", own=words.decimals(own),
                     all=words.number(record["repeats"] + 1))


def _caveats(run: RunFolder, words: Language) -> list[str]:
    """What must be known before the figures are read; only what holds for this run."""
    options = run.facts.get("options") or {}
    said = {"recipe": run.facts.get("recipe") not in ("fast", "ensemble"),
            "kept": bool(options.get("keep_test")), "by_film": run.facts.get("split_by") == "film"}
    return [words.say(f"repeat_splits.{name}") for name, holds in said.items() if holds]


def _answer(name: str, outlook: dict[str, Any], words: Language) -> str:
    group = "log_loss" if name == "log_loss" else "area"
    kind = outlook["why"] if outlook["verdict"] == "unclear" else f"{group}.{outlook['verdict']}"
    shown = {key: "" if outlook.get(key) is None else words.decimals(outlook[key])
             for key in ("value", "low", "high", "smallest")}
    return words.say(f"learning.{kind}", name=words.say(f"learning.{name}"),
                     patients=words.number(outlook["patients"]), **shown)


def _size_row(size: dict[str, Any], words: Language) -> list[str]:
    return [words.number(size["patients"]), words.number(size["films"]),
            *(_with_range(size[name], words) for name in ("area", "log_loss"))]


def _with_range(figure: dict[str, Any], words: Language) -> str:
    value, between = words.estimate(figure, words.decimals)
    return value if figure["n"] < 2 else words.say("learning.ranged", value=value, range=between)


REPEAT_SPLITS = Section("repeat_splits", splits, "trust", 70, answers=("robustness",))
LEARNING = Section("learning", learning, "trust", 80, answers=("size",))
