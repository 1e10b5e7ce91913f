"""What a model takes along wherever it goes (Mitchell et al. 2019): use, limits, data, figures, versions."""

from __future__ import annotations

from pneumo_tf.report import overview
from pneumo_tf.report.cautions import cautions
from pneumo_tf.report.rendering import render_markdown
from pneumo_tf.report.sections import data, made, result
from pneumo_tf.report.sections.shortcuts import best_facts
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import RunFolder


def model_card(run: RunFolder, words: Language) -> str:
    """Markdown in the words of the report; names of files, classes and runs are text in it, never markup."""
    shortcuts = [words.say(f"card.shortcut.{kind}", best=words.decimals(best["value"]),
                           fact=words.named("shortcut", best["name"]))
                 for kind, best in best_facts(run).items()]
    groups, split = made.fact_groups(run, words), data.split(run, words)
    versions = ", ".join(f"{name} {version}" for name, version in groups.pop("versions", [])[:4])
    content = {
        "run": run, "question": overview.question(run, words), "sought": overview.sought(run, words),
        "tested": overview.tested(run, words), "frequencies": overview.frequencies(run, words),
        "headlines": overview.headlines(run, words), "expected": overview.expected(run, words),
        # The notes, which hold for every run, stand among the limits here; the use has its own chapter.
        "cautions": [caution for caution in cautions(run, words) if caution.level != "note"],
        "shortcuts": shortcuts, "limits": made.LIMITS[1:], "class_rows": result.class_rows(run, words),
        "point_rule": result.rule(run, words), "splits": split["splits"],
        "made": [(words.say("card.made"), words.moment(str(run.facts.get("created") or ""))),
                 *groups.get("model", []), *split["split_facts"],
                 (words.say("cost.versions"), versions)]}
    return render_markdown("model_card.md.j2", content, words)
