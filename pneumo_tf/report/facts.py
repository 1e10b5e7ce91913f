"""What one needs to repeat a run: model, data, machine, options and versions, as pairs of text."""

from __future__ import annotations

import json
import shlex
from typing import Any

from pneumo_tf.report.language import Language
from pneumo_tf.runs.folder import RunFolder

Pairs = list[tuple[str, str]]


def groups(run: RunFolder, words: Language) -> list[tuple[str, Pairs]]:
    """Titled groups of facts; empty groups are left out."""
    facts = run.facts
    named = [("cost.model", _model(facts, words)), ("cost.data", _data(facts, words)),
             ("cost.device", _device(facts, words)),
             ("cost.options", _raw(_without_command(facts.get("options")), words)),
             ("cost.preparation", _raw(facts.get("preparation"), words)),
             ("cost.versions", _raw(facts.get("versions"), words))]
    return [(words.say(key), pairs) for key, pairs in named if pairs]


def command(run: RunFolder) -> str:
    """The command line that made the run, quoted for a shell."""
    return shlex.join(map(str, run.facts.get("command") or []))


def split_facts(run: RunFolder, words: Language) -> Pairs:
    """How the films were split."""
    by = run.facts.get("split_by")
    return [(words.say("split.by"), words.named("split.by", str(by))),
            (words.say("split.seed"), str(run.facts.get("seed"))),
            (words.say("split.hash"), str(run.facts.get("split_sha256") or words.say("page.unknown")))]


def rule(run: RunFolder, words: Language) -> str:
    """How the threshold was chosen."""
    name = str((run.facts.get("operating_point") or {}).get("rule", ""))
    kind, _, bound = name.partition("=")
    kind = kind.removesuffix(">")
    if kind == "cost":
        cost, _, share = bound.partition("@")
        return words.say("point.rule.cost_elsewhere", cost=_typed(float(cost), words),
                         share=_typed(100 * float(share), words)) if share else \
            words.say("point.rule.cost", cost=_typed(float(cost), words))
    return words.say(f"point.rule.{kind}", rule=name) if f"point.rule.{kind}" in words.texts else name


def _typed(value: float, words: Language) -> str:
    """A number with as many decimals as it has."""
    return words.number(value, len(f"{value:.4g}".partition(".")[2]))


def _model(facts: dict[str, Any], words: Language) -> Pairs:
    parameters, weights = facts.get("parameters"), facts.get("weights") or {}
    size = facts.get("input") or {}
    sides = " × ".join(str(size[side]) for side in ("height", "width") if side in size)
    shape = ", ".join([sides, *(str(size[key]) for key in ("color_mode", "interpolation") if key in size)])
    return _known([("recipe", facts.get("recipe")), ("backbone", facts.get("backbone")),
                   ("parameters", words.number(parameters) if parameters else None),
                   ("input", shape),
                   ("weights", weights.get("source")), ("weights_sha256", weights.get("sha256"))], words)


def _data(facts: dict[str, Any], words: Language) -> Pairs:
    data = facts.get("data") or {}
    return _known([(key, data.get(key)) for key in ("films", "labels", "labels_sha256")], words)


def _device(facts: dict[str, Any], words: Language) -> Pairs:
    device = facts.get("device") or {}
    keys = ("processor", "cores", "accelerator", "backend", "precision")
    return [(words.say(f"fact.{key}"), _text(device[key], words)) for key in keys if key in device]


def _without_command(options: dict[str, Any] | None) -> dict[str, Any]:
    """The command has its own place in the page."""
    return {name: value for name, value in (options or {}).items() if name != "command"}


def _known(pairs: list[tuple[str, Any]], words: Language) -> Pairs:
    return [(words.say(f"fact.{key}"), str(value)) for key, value in pairs if value]


def _raw(content: dict[str, Any] | None, words: Language) -> Pairs:
    """Names and values as the command knows them: they are what one types, so they aren't translated."""
    return [(str(name), _text(value, words)) for name, value in (content or {}).items()]


def _text(value: Any, words: Language) -> str:
    if value is None or value == "":
        return words.say("page.none")
    if isinstance(value, bool):
        return words.say("page.yes" if value else "page.no")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
