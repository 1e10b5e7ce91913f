"""What a model takes along wherever it goes (Mitchell et al. 2019): use, limits, data, figures, versions."""

from __future__ import annotations

from typing import Any

from pneumo_tf.report import cautions, facts, overview, tables
from pneumo_tf.report.language import Language
from pneumo_tf.report.rendering import render_markdown
from pneumo_tf.runs.folder import RunFolder

CARD = "model_card.md"
LIMITS = ("device", "elsewhere", "people", "labels", "scores")


def model_card(run: RunFolder, words: Language) -> str:
    """Markdown in the words of the report; names of files, classes and runs are text in it, never markup."""
    return render_markdown("model_card.md.j2", _content(run, words), words)


def _content(run: RunFolder, words: Language) -> dict[str, Any]:
    return {
        "run": run,
        "question": overview.question(run, words),
        "tested": overview.tested(run, words),
        "frequencies": overview.frequencies(run, words),
        # The notes, which hold for every run, stand among the limits here.
        "cautions": [caution for caution in cautions.cautions(run, words) if caution.level != "note"],
        "shortcuts": _shortcuts(run, words),
        "limits": LIMITS,
        "splits": tables.splits(run, words),
        "split_facts": facts.split_facts(run, words),
        "flow": tables.flow(run, words),
        "figure_rows": tables.figure_rows(run, words),
        "class_rows": tables.class_rows(run, words),
        "point_rule": facts.rule(run, words),
        "fact_groups": facts.groups(run, words),
        "command": facts.command(run),
        "moment": words.moment(str(run.facts.get("created") or "")),
    }


def _shortcuts(run: RunFolder, words: Language) -> list[str]:
    """How far the strongest trivial fact of the files, and of the pixels, gets on the test films."""
    known = (run.test.get("shortcuts") or {}).get("baselines") or []
    said = []
    for kind in ("file", "pixels"):
        mine = [baseline for baseline in known if baseline.get("kind", "file") == kind]
        best = max(mine, key=lambda baseline: float(baseline["value"]), default=None)
        if best is not None:
            said.append(words.say(f"card.shortcut.{kind}", best=words.number(best["value"], 3),
                                  fact=words.named("shortcut", best["name"])))
    return said
