"""What repeats.json says, put into words: other splits, and fewer patients to learn from."""

from __future__ import annotations

from typing import Any

from pneumo_tf.report.charts.curves import patient_curves, split_dots
from pneumo_tf.report.charts.drawing import drawn
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import FIGURES, REPEATS, RunFolder

# Among fewer other splits a place in the middle is chance: of n + 1 it lies outside in 2 of n + 1.
_FEWEST_SPLITS = 5


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
                                 own=_decimals(figure["own"], words))
                       for name, figure in record["figures"].items())
    return {"lead": words.say("repeat_splits.lead", n=number),
            "chart": drawn("repeat_splits", lambda: split_dots(record, words), run.path / FIGURES),
            "alt": words.say("repeat_splits.alt", points=points),
            "rows": [_spread_row(name, figure, words) for name, figure in record["figures"].items()],
            "caveats": _caveats(run, words), "luck": _luck(record, words),
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
    return {"answers": _answers(found["outlook"], run, words),
            "lead": words.say("learning.lead", draws=words.number(found["draws"])),
            "chart": drawn("learning", lambda: patient_curves(found, area, words), run.path / FIGURES),
            "alt": words.say("learning.alt", name=words.say(f"figure.{area}"), points=points),
            "names": [words.say(f"figure.{name}") for name in (area, "log_loss")],
            "sizes": [_size_row(size, words) for size in found["sizes"]]}


def extremes(figures: dict[str, Any]) -> dict[str, list[str]]:
    """The headline figures that came out "above", or "below", those of every other split, to three decimals;
    "within" are the others, and a figure that this split lacks is in none.
    """
    places: dict[str, list[str]] = {"above": [], "below": [], "within": []}
    for name, figure in figures.items():
        if name != "brier" and figure["own"] is not None:
            own, least, most = (round(figure[key], 3) for key in ("own", "least", "most"))
            places["above" if own > most else "below" if own < least else "within"].append(name)
    return places


def _area(run: RunFolder) -> str:
    return "auc" if run.is_binary else "macro_auc"


def _spread_row(name: str, figure: dict[str, Any], words: Language) -> dict[str, str]:
    mean = words.say("repeat_splits.mean_sd", mean=words.decimals(figure["value"]),
                     sd=words.decimals(figure["sd"]))
    return {"name": words.say(f"figure.{name}"), "own": _decimals(figure["own"], words), "mean": mean,
            "interval": words.interval(figure, words.decimals) or "–"}


def _split_row(split: dict[str, Any], words: Language) -> list[str]:
    """Its seed, which for the run's own is said in words; its test films and patients, and its figures."""
    return [words.say("repeat_splits.this") if "seed" not in split else str(split["seed"]),
            words.say("split.cell", films=words.number(split["films"]["test"]),
                      patients=words.number(split["patients"]["test"])),
            *(_decimals(value, words) for value in split["figures"].values())]


def _decimals(value: float | None, words: Language) -> str:
    return "–" if value is None else words.decimals(value)


def _luck(record: dict[str, Any], words: Language) -> str:
    """Where this run's split lies among the others by each headline figure, and what that tells of luck."""
    places, others = extremes(record["figures"]), record["repeats"]
    said = []
    for kind in ("above", "below"):
        named = [f"{words.say(f'figure.{name}')} {words.decimals(record['figures'][name]['own'])}"
                 for name in places[kind]]
        if named:
            said.append(words.say(f"repeat_splits.{kind}", figures=", ".join(named),
                                  all=words.number(others + 1)))
    if said:
        return " ".join([*said, words.say("repeat_splits.one_must")])
    if not places["within"]:
        return words.say("repeat_splits.unknown")
    return words.say("repeat_splits.within" if others >= _FEWEST_SPLITS else "repeat_splits.few",
                     n=words.number(others))


def _caveats(run: RunFolder, words: Language) -> list[str]:
    """What must be known before the figures are read; only what holds for this run."""
    options = run.facts.get("options") or {}
    said = {"recipe": run.facts.get("recipe") not in ("fast", "ensemble"),
            "kept": bool(options.get("keep_test")), "by_film": run.facts.get("split_by") == "film"}
    return [words.say(f"repeat_splits.{name}") for name, holds in said.items() if holds]


def _answers(outlooks: dict[str, Any], run: RunFolder, words: Language) -> list[str]:
    """Whether more films would help, by each figure; what holds for both is said once.

    "Yes" where either figure grows, "hardly" only where both are flat.
    """
    kinds = {key: _kind(key, outlook, run) for key, outlook in outlooks.items()}
    answers = list(dict.fromkeys(_answer(key, kinds[key], outlook, run, words=words)
                                 for key, outlook in outlooks.items()))
    first = "learning.yes" if "grows" in kinds.values() else \
        "learning.hardly" if set(kinds.values()) == {"flat"} else ""
    return [f"{words.say(first)} {answers[0]}", *answers[1:]] if first else answers


def _kind(key: str, outlook: dict[str, Any], run: RunFolder) -> str:
    """What the outlook says, or why it says nothing."""
    if outlook["verdict"] == "unclear":
        return str(outlook["why"])
    figure = _tested_area(run)
    # An area that may already be perfect, or that too few patients measure, shows no rise.
    is_full = figure.get("value") is not None and \
        (figure["high"] is None or figure["high"] > 1 - outlook["smallest"])
    return "full" if key == "area" and outlook["verdict"] == "flat" and is_full else str(outlook["verdict"])


def _tested_area(run: RunFolder) -> dict[str, Any]:
    figures = (run.metrics.get("test") or {}).get("figures") or {}
    return dict(figures.get(_area(run)) or {})


def _answer(key: str, kind: str, outlook: dict[str, Any], run: RunFolder, *, words: Language) -> str:
    shown = {part: "" if outlook.get(part) is None else words.decimals(outlook[part])
             for part in ("value", "low", "high", "smallest")}
    name = words.say(f"learning.{_area(run) if key == 'area' else key}")
    if kind == "full":
        area = _tested_area(run)
        return words.say("learning.full", name=name, value=words.decimals(area["value"]),
                         beside=words.interval(area, words.decimals) or words.say("why.few_patients"))
    text = f"learning.{key}.{kind}" if kind in ("grows", "flat") else f"learning.{kind}"
    return words.say(text, name=name, patients=words.number(outlook["patients"]), **shown)


def _size_row(size: dict[str, Any], words: Language) -> list[str]:
    return [words.number(size["patients"]), words.number(size["films"]),
            *(_with_range(size[name], words) for name in ("area", "log_loss"))]


def _with_range(figure: dict[str, Any], words: Language) -> str:
    value, between = words.estimate(figure, words.decimals)
    return value if figure["n"] < 2 else words.say("learning.ranged", value=value, range=between)


REPEAT_SPLITS = Section("repeat_splits", splits, "trust", 70, answers=("robustness",))
LEARNING = Section("learning", learning, "trust", 80, answers=("size",))
