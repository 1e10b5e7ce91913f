"""How far one gets without looking for disease: facts of the files and of the picture as a guess."""

from __future__ import annotations

from typing import Any

from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language, bar_of
from pneumo_tf.runs.folder import RunFolder


def content(run: RunFolder, words: Language) -> dict[str, Any]:
    """The facts, best first, below the network; why there are none where a run has none."""
    found = run.test.get("shortcuts") or {}
    known = found.get("baselines") or []
    if not known:
        why = f"shortcut.{found['why']}" if found.get("why") else \
            "page.unrecorded" if run.is_binary else "page.two_classes"
        return {"rows": [], "lead": words.say(why)}
    network = {"name": "network", "train": None, **run.test["figures"]["auc"]}
    ranked = sorted(known, key=lambda baseline: -baseline["value"])
    return {"rows": [_row(fact, words) for fact in (network, *ranked)], "lead": words.say("shortcut.lead")}


def best_facts(run: RunFolder) -> dict[str, dict[str, Any]]:
    """The strongest fact of each kind that has any: "file" and "pixels"."""
    known = (run.test.get("shortcuts") or {}).get("baselines") or []
    kinds = {kind: [fact for fact in known if fact.get("kind", "file") == kind]
             for kind in ("file", "pixels")}
    return {kind: max(facts, key=lambda fact: float(fact["value"])) for kind, facts in kinds.items() if facts}


def _row(fact: dict[str, Any], words: Language) -> dict[str, Any]:
    value, train = (None if fact[key] is None else words.decimals(fact[key]) for key in ("value", "train"))
    return {"name": words.say(f"shortcut.{fact['name']}"), "test": value or "–", "train": train or "",
            "interval": words.interval(fact, words.decimals), "bar": bar_of(fact)}


SHORTCUT = Section("shortcut", content, "trust", 30, answers=("robustness",))
