"""What repeats.json says, put into words: other splits, and fewer patients to learn from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pneumo_tf.report.drawing import drawn
from pneumo_tf.report.language import Language
from pneumo_tf.report.repeat_figures import curve_figure, figure_name, spread_figure
from pneumo_tf.runs.folder import RunError, RunFolder

RECORD = "repeats.json"


@dataclass(frozen=True)
class SpreadRow:
    """One figure over the splits, as text."""

    name: str
    own: str
    mean: str
    interval: str


def content(run: RunFolder, words: Language) -> dict[str, Any]:
    """What the sections on repetitions show, under the one key `repeats`; None where there are none.

    Raises:
        RunError: repeats.json can't be read.
    """
    found = _record(run)
    if found is None:
        return {"repeats": None}
    folder, learning = run.path / "figures", found["learning"]
    spread = drawn("repeat_splits", lambda: spread_figure(found, words), folder)
    curve = drawn("learning", lambda: curve_figure(learning, _area(run), words), folder)
    return {"repeats": {
        "lead": words.say("repeat_splits.lead", n=words.number(found["repeats"])),
        "spread": Markup(spread), "spread_alt": _spread_alt(found, words),
        "rows": [_spread_row(name, figure, words) for name, figure in found["figures"].items()],
        "caveats": _caveats(run, words), "luck": _luck(found, run, words),
        "overlap": words.say("repeat_splits.sd", n=words.number(found["repeats"]),
                             ratio=words.number(found["test_to_rest"], 2)),
        "split_names": [figure_name(name, words) for name in found["figures"]],
        "splits": [_split_row(split, words) for split in (found["own"], *found["splits"])],
        "answers": _answers(learning, run, words),
        "curve": Markup(curve), "curve_alt": _curve_alt(learning, run, words),
        "draws": words.number(learning["draws"]),
        "size_names": [figure_name(name, words) for name in (_area(run), "log_loss")],
        "sizes": [_size_row(size, words) for size in learning["sizes"]]}}


def _record(run: RunFolder) -> dict[str, Any] | None:
    path = run.path / RECORD
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as failure:
        raise RunError(f"{RECORD} must be JSON.", received=f"{path} ({failure})",
                       remedy="Delete it, or run evaluate_model.py --repeat again.") from failure
    return dict(found)


def _area(run: RunFolder) -> str:
    return "auc" if run.is_binary else "macro_auc"


def _spread_row(name: str, figure: dict[str, Any], words: Language) -> SpreadRow:
    mean = words.say("repeat_splits.mean_sd", mean=words.number(figure["value"], 3),
                     sd=words.number(figure["sd"], 3))
    interval = "–" if figure["low"] is None else _between(figure["low"], figure["high"], words)
    return SpreadRow(figure_name(name, words), words.number(figure["own"], 3), mean, interval)


def _between(low: float, high: float, words: Language) -> str:
    return words.say("number.interval", low=words.number(low, 3), high=words.number(high, 3))


def _split_row(split: dict[str, Any], words: Language) -> list[str]:
    """Its seed, which for the run's own is said in words; its test films and patients, and its figures."""
    return [words.say("repeat_splits.this") if "seed" not in split else str(split["seed"]),
            words.say("split.cell", films=words.number(split["films"]["test"]),
                      patients=words.number(split["patients"]["test"])),
            *(words.number(value, 3) for value in split["figures"].values())]


def _luck(found: dict[str, Any], run: RunFolder, words: Language) -> str:
    """Where the area of the run's own split lies among the others'."""
    figure = found["figures"][_area(run)]
    own, least, most = (round(figure[key], 3) for key in ("own", "least", "most"))
    kind = "above" if own > most else "below" if own < least else "within"
    return words.say(f"repeat_splits.{kind}", own=words.number(own, 3),
                     all=words.number(found["repeats"] + 1))


def _caveats(run: RunFolder, words: Language) -> list[str]:
    """What must be known before the figures are read; only what holds for this run."""
    options = run.facts.get("options") or {}
    said = {"recipe": run.facts.get("recipe") not in ("fast", "ensemble"),
            "kept": bool(options.get("keep_test")), "by_film": run.facts.get("split_by") == "film"}
    return [words.say(f"repeat_splits.{name}") for name, holds in said.items() if holds]


def _spread_alt(found: dict[str, Any], words: Language) -> str:
    points = "; ".join(words.say("repeat_splits.point", name=figure_name(name, words),
                                 values=", ".join(words.number(split["figures"][name], 3)
                                                  for split in found["splits"]),
                                 own=words.number(figure["own"], 3))
                       for name, figure in found["figures"].items())
    return words.say("repeat_splits.alt", points=points)


def _answers(learning: dict[str, Any], run: RunFolder, words: Language) -> list[str]:
    """Whether more films would help, by each figure; what holds for both is said once."""
    return list(dict.fromkeys(_answer(name, learning["outlook"][key], words)
                              for key, name in (("area", _area(run)), ("log_loss", "log_loss"))))


def _answer(name: str, outlook: dict[str, Any], words: Language) -> str:
    group = "log_loss" if name == "log_loss" else "area"
    kind = outlook["why"] if outlook["verdict"] == "unclear" else f"{group}.{outlook['verdict']}"
    shown = {key: "" if outlook.get(key) is None else words.number(outlook[key], 3)
             for key in ("value", "low", "high", "smallest")}
    return words.say(f"learning.{kind}", name=words.say(f"learning.{name}"),
                     patients=words.number(outlook["patients"]), **shown)


def _size_row(size: dict[str, Any], words: Language) -> list[str]:
    return [words.number(size["patients"]), words.number(size["films"]),
            *(_with_range(size[name], words) for name in ("area", "log_loss"))]


def _with_range(figure: dict[str, Any], words: Language) -> str:
    value = words.number(figure["value"], 3)
    if figure["n"] < 2:
        return value
    return words.say("learning.ranged", value=value, range=_between(figure["low"], figure["high"], words))


def _curve_alt(learning: dict[str, Any], run: RunFolder, words: Language) -> str:
    points = "; ".join(words.say("learning.point", patients=words.number(size["patients"]),
                                 area=words.number(size["area"]["value"], 3),
                                 loss=words.number(size["log_loss"]["value"], 3))
                       for size in learning["sizes"])
    return words.say("learning.alt", name=figure_name(_area(run), words), points=points)
