"""How far one gets without looking for disease: facts of the files and of the picture as a guess."""

from __future__ import annotations

from typing import Any, Literal

from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Estimate, Language, bar_of
from pneumo_tf.runs.folder import RunFolder

KINDS = ("file", "framing", "pixels")
# A fact that comes this near to the network's area explains it as well as disease does.
_NEAR = 0.05


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
    cut = f" {words.say('shortcut.cut')}" if _is_cut(run) else ""
    return {"rows": [_row(fact, words) for fact in (network, *ranked)],
            "lead": words.say("shortcut.lead") + cut}


def facts_of(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    """The facts of a kind of `KINDS`; of the frame none where it was cut off before the training."""
    known = (run.test.get("shortcuts") or {}).get("baselines") or []
    return [] if kind == "framing" and _is_cut(run) else \
        [fact for fact in known if fact.get("kind", "file") == kind]


def _is_cut(run: RunFolder) -> bool:
    """Whether the films were cut to the lungs, so that the network sees nothing of the frame."""
    preparation = run.facts.get("preparation") or {}
    return bool(preparation.get("options", {}).get("fit") == "lungs")


def best_facts(run: RunFolder) -> dict[str, dict[str, Any]]:
    """The strongest fact of each kind that has any."""
    kinds = {kind: facts_of(run, kind) for kind in KINDS}
    return {kind: max(facts, key=lambda fact: float(fact["value"])) for kind, facts in kinds.items() if facts}


def standing(fact: dict[str, Any], network: Estimate) -> Literal["near", "ahead", "unclear", ""]:
    """How a fact stands beside the network: it tells the classes about as well, far better, or these films
    can't say. Empty where it tells nothing, is clearly behind, or the network may be guessing, which then has
    learnt no shortcut either.

    Args:
        fact: Of the baselines; older runs know no intervals and no `difference`.
        network: Its area under the ROC curve.
    """
    if network["value"] is None or fact["value"] <= 0.5 or (fact.get("low") or 1) <= 0.5:
        return ""
    lead = fact.get("difference") or {"value": network["value"] - fact["value"]}
    low, high = lead.get("low"), lead.get("high")
    if lead["value"] < -_NEAR and (high is None or high < 0):
        return "ahead"
    if (network.get("low") or 1) <= 0.5:
        return ""
    if abs(lead["value"]) <= _NEAR:
        return "near"
    return "" if lead["value"] > _NEAR and (low is None or low > 0) else "unclear"


def _row(fact: dict[str, Any], words: Language) -> dict[str, Any]:
    value, train = (None if fact[key] is None else words.decimals(fact[key]) for key in ("value", "train"))
    return {"name": words.say(f"shortcut.{fact['name']}"), "test": value or "–", "train": train or "",
            "interval": words.interval(fact, words.decimals), "bar": bar_of(fact)}


SHORTCUT = Section("shortcut", content, "trust", 30, answers=("robustness",))
