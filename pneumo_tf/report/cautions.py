"""What could make the figures better than the truth, in order of gravity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pneumo_tf.data.splits import leaked_patients
from pneumo_tf.report.sections.shortcuts import best_facts
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import REPEATS, ROBUSTNESS, RunFolder

Level = Literal["alarm", "caution", "note", "good"]

# Below 30 films of a class the Wilson interval of a proportion near 0.9 is wider than 20 points.
_FEW_FILMS = 30
_WIDE = 0.10
# Facts that come this near to the network's area explain it as well as disease does.
_NEAR = 0.05
# A change that leaves the disease as it is shouldn't change more verdicts than this share.
_FRAGILE = 0.1
_MARGINS = ("border", "corners")


@dataclass(frozen=True)
class Caution:
    """A sentence to read before the figures are believed."""

    level: Level
    text: str


def cautions(run: RunFolder, words: Language) -> list[Caution]:
    """Every caution that this run gives reason for; the last two hold for every run."""
    rules = (_phantoms, _diverged, _patients, missing_classes, _near_duplicates, few_films, _wide, _shortcuts,
             _fragile, _lucky)
    found = [caution for rule in rules for caution in rule(run, words)]
    always = [Caution("note", words.say("caution.elsewhere")), Caution("note", words.say("caution.device"))]
    order = ("alarm", "caution", "good", "note")
    return sorted([*found, *always], key=lambda caution: order.index(caution.level))


def _phantoms(run: RunFolder, words: Language) -> list[Caution]:
    return [Caution("alarm", words.say("caution.phantoms"))] if run.facts.get("phantoms") else []


def _diverged(run: RunFolder, words: Language) -> list[Caution]:
    epoch = run.facts.get("diverged_in_epoch")
    return [Caution("caution", words.say("caution.diverged", epoch=epoch))] if epoch else []


def _patients(run: RunFolder, words: Language) -> list[Caution]:
    across, unknown = len(leaked_patients(run.cohort)), int(run.facts.get("films_without_patient") or 0)
    if run.facts.get("split_by") == "film":
        known = " " + words.say("caution.across", n=words.count(across, "patient")) if across else ""
        return [Caution("alarm", words.say("caution.split_by_film") + known)]
    if not run.facts.get("patients_known"):
        return [Caution("alarm", words.say("caution.patients_unknown"))]
    if across:
        return [Caution("alarm", words.say("caution.leaked", n=words.count(across, "patient")))]
    some = [Caution("caution", words.say("caution.some_unknown", n=words.count(unknown, "film")))]
    return [*(some if unknown else []), Caution("good", words.say("caution.separated"))]


def missing_classes(run: RunFolder, words: Language) -> list[Caution]:
    """Classes that no test film is of."""
    absent = [name for name, count in _support(run).items() if not count]
    return [Caution("alarm", words.say("caution.missing_class", classes=", ".join(absent)))] if absent else []


def few_films(run: RunFolder, words: Language) -> list[Caution]:
    """Classes of which there are few test films."""
    return [Caution("caution", words.say("caution.few", n=words.count(count, "film"), label=name))
            for name, count in _support(run).items() if 0 < count < _FEW_FILMS]


def _wide(run: RunFolder, words: Language) -> list[Caution]:
    figures = run.test["figures"]
    names = ("sensitivity", "specificity") if run.is_binary else ("accuracy",)
    wide = [name for name in names
            if figures[name]["value"] is not None and figures[name]["high"] - figures[name]["low"] > _WIDE]
    return [Caution("caution", words.say("caution.wide", figure=words.say(f"figure.{name}").lower(),
                                         low=words.percent(figures[name]["low"], 0),
                                         high=words.percent(figures[name]["high"], 0))) for name in wide]


def _shortcuts(run: RunFolder, words: Language) -> list[Caution]:
    """The strongest fact of the files, and of the pixels, where it comes near the network."""
    area = (run.test["figures"].get("auc") or {}).get("value")
    keys = {"file": "caution.shortcut", "pixels": "caution.pixels"}
    return [Caution("caution", words.say(keys[kind], fact=words.named("shortcut", best["name"]),
                                         best=words.decimals(best["value"]), area=words.decimals(area)))
            for kind, best in best_facts(run).items() if area is not None and best["value"] >= area - _NEAR]


def _near_duplicates(run: RunFolder, words: Language) -> list[Caution]:
    across = (run.metrics.get("near_duplicates") or {}).get("across") or 0
    if not across:
        return []
    return [Caution("caution", words.say("caution.duplicates", n=words.count(across, "pair")))]


def _fragile(run: RunFolder, words: Language) -> list[Caution]:
    """The small change of the film that changes most verdicts; a negative is no small change."""
    tried = [row for row in run.record(ROBUSTNESS).get("perturbations") or []
             if row["name"] != "negative" and (row["changed"]["value"] or 0) > _FRAGILE]
    worst = max(tried, key=lambda row: float(row["changed"]["value"]), default=None)
    if worst is None:
        return []
    key = "caution.margin" if worst["name"] in _MARGINS else "caution.fragile"
    return [Caution("caution", words.say(key, change=words.named("robust", worst["name"]).lower(),
                                         share=words.percent(worst["changed"]["value"], 0)))]


def _lucky(run: RunFolder, words: Language) -> list[Caution]:
    """Where other splits of the same films all gave a lower area."""
    figure = (run.record(REPEATS).get("figures") or {}).get("auc" if run.is_binary else "macro_auc")
    if not figure or round(figure["own"], 3) <= round(figure["most"], 3):
        return []
    return [Caution("caution", words.say("caution.lucky", own=words.decimals(figure["own"]),
                                         most=words.decimals(figure["most"])))]


def _support(run: RunFolder) -> dict[str, int]:
    return {name: sum(row) for name, row in zip(run.classes, run.test["confusion"], strict=True)}
