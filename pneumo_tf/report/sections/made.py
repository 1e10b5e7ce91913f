"""How a run was made, what it took and what it is for; all that one needs to repeat it."""

from __future__ import annotations

import shlex
from typing import Any

from pneumo_tf.errors import option_of
from pneumo_tf.report.charts.curves import epoch_curve, recorded
from pneumo_tf.report.charts.drawing import drawn
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import FIGURES, RunFolder

LIMITS = ("use", "device", "elsewhere", "people", "labels", "scores")
_CURVES = ("loss", "accuracy", "auc")
# Options that stand elsewhere in the page; older runs have their command among them.
_TOLD = ("command", "films", "labels", "backbone", "recipe", "weights", "seed")
Pairs = list[tuple[str, str]]


def curve(run: RunFolder, words: Language) -> dict[str, Any]:
    """Every metric by epoch, each chart with its alternative text; none where nothing was recorded."""
    curves = [(drawn(metric, lambda metric=metric: epoch_curve(run.history, metric, words),  # type: ignore[misc]
                     run.path / FIGURES), _spoken_curve(run, metric, words))
              for metric in _CURVES if recorded(run.history, metric)]
    lead = words.say("curve.lead", epochs=words.count(len(run.history), "epoch")) if curves \
        else words.say("curve.empty")
    return {"lead": lead, "curves": curves}


def cost(run: RunFolder, words: Language) -> dict[str, Any]:
    """Time and memory, the command, and the facts of the run."""
    return {"stages": _stages(run, words), "pace": _pace(run, words), "command": command(run),
            "fact_groups": fact_groups(run, words)}


def limit(_: RunFolder, words: Language) -> dict[str, Any]:
    """What holds for every run."""
    return {"limits": [words.say(f"limit.{name}") for name in LIMITS]}


def command(run: RunFolder) -> str:
    """The command line that made the run, quoted for a shell."""
    return shlex.join(map(str, run.facts.get("command") or []))


def fact_groups(run: RunFolder, words: Language) -> dict[str, Pairs]:
    """Facts by "model", "data", "device", "options", "preparation", "versions"; empty groups are left out."""
    facts = run.facts
    data, device = facts.get("data") or {}, facts.get("device") or {}
    options = {option_of(name): value for name, value in (facts.get("options") or {}).items()
               if name not in _TOLD}
    groups = {
        "model": _model(facts, words),
        "data": _known({key: data.get(key) for key in ("films", "labels", "labels_sha256")}, words),
        "device": [(words.say(f"fact.{key}"), _text(device[key], words)) for key in
                   ("processor", "cores", "accelerator", "backend", "precision") if key in device],
        "options": _typed(options, words), "preparation": _typed(facts.get("preparation"), words),
        "versions": _typed(facts.get("versions"), words)}
    return {name: pairs for name, pairs in groups.items() if pairs}


def _spoken_curve(run: RunFolder, metric: str, words: Language) -> str:
    last = run.history.iloc[-1]
    values = [f"{words.say(key)} {words.decimals(last[column])}"
              for key, column in (("curve.train", metric), ("curve.validation", f"val_{metric}"))
              if column in last and last[column] == last[column]]
    return words.say("curve.alt", metric=words.named("curve.metric", metric), values=", ".join(values))


def _stages(run: RunFolder, words: Language) -> list[dict[str, Any]]:
    """Time and peak memory per stage, with the share of the longest one for drawing."""
    stages = run.facts.get("stages") or []
    longest = max((stage["seconds"] for stage in stages), default=0) or 1
    rows = [{"name": words.named("stage", stage["stage"]), "time": words.duration(stage["seconds"]),
             "memory": _memory(stage.get("peak_memory_bytes"), words),
             "share": 100 * stage["seconds"] / longest} for stage in stages]
    if len(stages) > 1:
        peak = max(stage.get("peak_memory_bytes") or 0 for stage in stages)
        rows.append({"name": words.say("cost.total"), "memory": _memory(peak, words), "share": None,
                     "time": words.duration(sum(stage["seconds"] for stage in stages))})
    return rows


def _pace(run: RunFolder, words: Language) -> str:
    """Which recipe the minutes allowed, and what the other would cost; nothing where nobody counted them."""
    pace = run.facts.get("pace")
    if not pace:
        return ""
    return words.say("cost.pace", recipe=run.facts["recipe"], minutes=words.short(pace["minutes"]),
                     rate=words.number(pace["films_per_second"]), other=pace["other"],
                     time=words.duration(pace["other_seconds"]))


def _memory(count: int | None, words: Language) -> str:
    return words.size(count) if count else "–"


def _model(facts: dict[str, Any], words: Language) -> Pairs:
    parameters, weights = facts.get("parameters"), facts.get("weights") or {}
    size = facts.get("input") or {}
    sides = " × ".join(str(size[side]) for side in ("height", "width") if side in size)
    shape = ", ".join([sides, *(str(size[key]) for key in ("color_mode", "interpolation") if key in size)])
    return _known({"recipe": facts.get("recipe"), "backbone": facts.get("backbone"),
                   "parameters": words.number(parameters) if parameters else None, "input": shape,
                   "weights": weights.get("source"), "weights_sha256": weights.get("sha256")}, words)


def _known(pairs: dict[str, Any], words: Language) -> Pairs:
    return [(words.say(f"fact.{key}"), str(value)) for key, value in pairs.items() if value]


def _typed(content: dict[str, Any] | None, words: Language) -> Pairs:
    """Names and values as the command knows them: they are what one types, so they aren't translated.

    What is inside of a value has a line of its own; what wasn't given, none.
    """
    pairs: Pairs = []
    for name, value in (content or {}).items():
        if isinstance(value, dict):
            pairs += _typed(value, words)
        elif value not in (None, "", []):
            pairs.append((str(name), _text(value, words)))
    return pairs


def _text(value: Any, words: Language) -> str:
    if value is None or value == "":
        return words.say("page.none")
    if isinstance(value, bool):
        return words.say("page.yes" if value else "page.no")
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(inner, words)}" for name, inner in value.items())
    return ", ".join(_text(inner, words) for inner in value) if isinstance(value, list) else str(value)


CURVE = Section("curve", curve, "made", 10, answers=("training",))
COST = Section("cost", cost, "made", 20, answers=("source", "preparation", "balance", "network", "software",
                                                  "training", "availability"))
LIMIT = Section("limit", limit, "made", 30, answers=("use", "limits"))
