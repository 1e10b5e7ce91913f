"""A run on films from elsewhere: here against there, the probabilities there, and a few labels from there."""

from __future__ import annotations

from functools import partial
from typing import Any

from pneumo_tf.evaluation import figures
from pneumo_tf.report.cautions import Caution, few_films, guessing, missing_classes, wide
from pneumo_tf.report.charts import results
from pneumo_tf.report.charts.drawing import drawn
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.sections.calibration import spoken_bins
from pneumo_tf.report.sections.made import command
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import FIGURES, RunFolder

_PAGES = ("external",)
# A figure that may have lost more than this isn't called as good; shares of positives that may lie further
# apart aren't called alike.
_LOSS, _ALIKE = 0.05, 0.1


def tested(run: RunFolder, words: Language) -> str:
    """How many films from elsewhere the figures rest on."""
    films, patients = words.count(run.test["films"], "film"), words.count(run.test["patients"], "patient")
    if not run.facts["patients_known"]:
        return words.say("external.tested.films", films=films)
    return words.say("external.tested.patients", films=films, patients=patients)


def cautions(run: RunFolder, words: Language) -> list[Caution]:
    """What must be known before these figures are believed, the gravest first."""
    overlap, found = run.metrics["overlap"], []
    if overlap["films"]:
        found.append(Caution("alarm", words.say("external.caution.films",
                                                films=words.count(overlap["films"], "film"),
                                                copies=words.number(overlap.get("copies", overlap["films"])),
                                                alike=words.number(overlap.get("alike", 0)))))
    if run.facts.get("phantoms"):
        found.append(Caution("alarm", words.say("caution.phantoms")))
    for key in ("uncompared", "unseen"):
        if overlap.get(key):
            found.append(Caution("caution", words.say(f"external.caution.{key}",
                                                      films=words.count(overlap[key], "film"))))
    if overlap["patients"]:
        found.append(Caution("caution", words.say("external.caution.patients",
                                                  patients=words.count(overlap["patients"], "patient"))))
    return [*found, *guessing(run, words), _lost(run, words), *missing_classes(run, words),
            *few_films(run, words), *wide(run, words)]


def _lost(run: RunFolder, words: Language) -> Caution:
    """The figures that are worse than at home beyond chance, those that may be, or that none is."""
    worse, unclear = [], []
    for name, row in run.metrics["drop"].items():
        if name == "prevalence":
            continue
        low, high = (row["difference"][end] for end in ("low", "high"))
        if low is not None and figures.FIGURES[name].kind == "loss":  # of which more is worse
            low, high = -high, -low
        if low is None or low < -_LOSS <= 0 <= high:
            unclear.append(name)
        elif high < 0:
            worse.append(name)
    if worse or unclear:
        names = ", ".join(_name(name, words) for name in worse or unclear)
        return Caution("caution", words.say(f"external.caution.{'worse' if worse else 'unclear'}",
                                            figures=names))
    return Caution("note", words.say("external.caution.same"))


def drop(run: RunFolder, words: Language) -> dict[str, Any]:
    """Each figure here, there, and the difference; of two classes how frequent the positive one is."""
    drops, prevalence = run.metrics["drop"], ""
    if shares := drops.get("prevalence"):
        low, high = (shares["difference"][end] for end in ("low", "high"))
        kind = "unclear" if low is None else "other" if low > 0 or high < 0 else \
            "same" if max(-low, high) <= _ALIKE else "unclear"
        prevalence = words.say(f"external.prevalence.{kind}", positive=run.test["positive"],
                               here=words.percent(shares["internal"]["value"]),
                               there=words.percent(shares["external"]["value"]))
    rows = []
    for name, row in drops.items():
        write, write_change = partial(words.figure, name), partial(words.change, name)
        rows.append((_name(name, words), [words.estimate(row["internal"], write),
                                          words.estimate(row["external"], write),
                                          words.estimate(row["difference"], write_change)]))
    return {"rows": rows, "prevalence": prevalence}


def calibration(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """The reliability diagram with the run's own calibrator, and its figures; None for several classes."""
    found = run.test.get("calibration")
    if not found:
        return None
    stages = ("before", "after")
    bins = {words.say(f"external.calibration.{stage}"): found[stage]["bins"] for stage in stages}
    rows = [(words.say(f"figure.{name}"), [words.estimate(found[stage]["figures"][name], words.decimals)
                                           for stage in stages]) for name in found["after"]["figures"]]
    points = spoken_bins(found["after"]["bins"], words)
    return {"chart": drawn("reliability", lambda: results.reliability(bins, words), run.path / FIGURES),
            "alt": words.say("external.calibration.alt", points=points), "rows": rows}


def recalibration(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """What a few labelled films from there would change; None where nobody asked."""
    found = run.metrics.get("recalibration")
    if not found:
        return None
    lead = words.say("external.bought.lead" if found["figures"] else "external.bought.none",
                     films=words.count(found["labelled"], "film"), repeats=words.number(found["repeats"]),
                     skipped=words.number(found["skipped"]))
    rows = []
    for name, row in found["figures"].items():
        write = partial(words.figure, name)
        rows.append({"name": _name(name, words), "before": write(row["before"]), "after": write(row["after"]),
                     "range": words.interval(row, write), "improved": words.percent(row["improved"], 0)})
    return {"lead": lead, "rows": rows}


def made(run: RunFolder, words: Language) -> dict[str, Any]:
    """The command and what it read."""
    keys = ("films_folder", "labels", "labels_sha256", "created", "seed")
    return {"command": command(run),
            "pairs": [(words.say(f"external.fact.{key}"), str(run.metrics[key])) for key in keys]}


def _name(name: str, words: Language) -> str:
    own = f"external.figure.{name}"
    return words.say(own if own in words.texts else f"figure.{name}")


ELSEWHERE = Section("external.elsewhere", drop, "result", 10, pages=_PAGES)
CALIBRATION = Section("external.elsewhere-calibration", calibration, "result", 20, pages=_PAGES)
RECALIBRATION = Section("external.bought", recalibration, "result", 30, pages=_PAGES)
MADE = Section("external.made", made, "made", 10, pages=_PAGES)
