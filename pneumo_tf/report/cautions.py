"""What could make the figures better than the truth, in order of gravity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pneumo_tf.data.splits import leaked_patients
from pneumo_tf.evaluation.intervals import FEWEST_PATIENTS
from pneumo_tf.report.sections.repeats import extremes
from pneumo_tf.report.sections.shortcuts import KINDS, facts_of, standing
from pneumo_tf.report.words import Estimate, Language
from pneumo_tf.runs.folder import REPEATS, ROBUSTNESS, RunFolder

Level = Literal["alarm", "caution", "note", "good"]

# Below 30 films of a class the Wilson interval of a proportion near 0.9 is wider than 20 points.
_FEW_FILMS = 30
_WIDE = 0.10
# A change that leaves the disease as it is shouldn't change more verdicts than this share, nor lower a figure
# by more than this.
_FRAGILE, _COST = 0.1, 0.05
_MARGINS = ("border", "corners")
_GUESSED_AREA = 0.5


@dataclass(frozen=True)
class Caution:
    """A sentence to read before the figures are believed."""

    level: Level
    text: str


def cautions(run: RunFolder, words: Language) -> list[Caution]:
    """Every caution that this run gives reason for; the last two hold for every run."""
    rules = (_phantoms, _diverged, _patients, missing_classes, guessing, _near_duplicates, few_films, wide,
             _shortcuts, _fragile, _costly, _lucky)
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
    if run.facts.get("split_by") == "film" and (across or unknown):
        known = " " + words.say("caution.across", n=words.count(across, "patient")) if across else ""
        return [Caution("alarm", words.say("caution.split_by_film") + known)]
    if not run.facts.get("patients_known"):
        return [Caution("alarm", words.say("caution.patients_unknown"))]
    if across:
        return [Caution("alarm", words.say("caution.leaked", n=words.count(across, "patient")))]
    some = [Caution("caution", words.say("caution.some_unknown", n=words.count(unknown, "film")))]
    # The same film under two patients is one patient on both sides, whatever the table says.
    separated = [] if _looking_same(run) else [Caution("good", words.say("caution.separated"))]
    return [*(some if unknown else []), *separated]


def missing_classes(run: RunFolder, words: Language) -> list[Caution]:
    """Classes that no test film is of."""
    absent = [name for name, count in _support(run).items() if not count]
    return [Caution("alarm", words.say("caution.missing_class", classes=", ".join(absent)))] if absent else []


def guessing(run: RunFolder, words: Language) -> list[Caution]:
    """Scores, or else calls, that these films can't tell from guessing; nothing where a class is missing."""
    figures, area = run.test["figures"], _area(run)
    place = _place(figures[area], _GUESSED_AREA)
    if place in ("around", "below"):
        return [_guessed(f"caution.guessing.{place}", area, figures[area], words, chance=_GUESSED_AREA)]
    if place == "unknown":
        return [Caution("caution", words.say("caution.guessing.unknown", figure=words.say(f"figure.{area}")))]
    calls = figures.get("mcc") or {"value": None}
    if place == "above" and calls.get("why") == "one_class_predicted":
        called = next(name for name, column in zip(run.classes, zip(*run.test["confusion"], strict=True),
                                                   strict=True) if sum(column))
        return [Caution("alarm", words.say("caution.guessing.one_class", label=called))]
    if place == "above" and _place(calls, 0) in ("around", "below"):
        return [_guessed("caution.guessing.calls", "mcc", calls, words, chance=0)]
    return []


def is_guessing(run: RunFolder) -> bool:
    """Whether the network's scores can't be told from guessing."""
    return _place(run.test["figures"][_area(run)], _GUESSED_AREA) != "above"


def _area(run: RunFolder) -> str:
    return "auc" if run.is_binary else "macro_auc"


def _place(figure: Estimate, chance: float) -> Literal["above", "around", "below", "unknown", "absent"]:
    """Where the interval of a figure lies beside what guessing gives."""
    if figure["value"] is None:
        return "absent"
    if figure.get("low") is None:
        # A perfect figure has no interval, since no resample differs; few patients have none either.
        return "above" if figure["value"] == 1 and figure.get("patients", 0) >= FEWEST_PATIENTS else "unknown"
    return "above" if figure["low"] > chance else "below" if figure["high"] < chance else "around"


def _guessed(key: str, name: str, figure: Estimate, words: Language, *, chance: float) -> Caution:
    return Caution("alarm", words.say(key, figure=words.say(f"figure.{name}"), chance=words.short(chance),
                                      value=words.decimals(figure["value"]),
                                      interval=words.interval(figure, words.decimals)))


def few_films(run: RunFolder, words: Language) -> list[Caution]:
    """Classes of which there are few test films, or films of few patients."""
    said = []
    for name, films in _support(run).items():
        patients = _patients_of(name, run)
        noun, number = ("film", films) if films < _FEW_FILMS else ("patient", films if patients is None
                                                                    else patients)
        if 0 < number < _FEW_FILMS:
            said.append(Caution("caution", words.say(f"caution.few.{noun}s", n=words.count(number, noun),
                                                     label=name)))
    return said


def _patients_of(label: str, run: RunFolder) -> int | None:
    """Patients with test films of a class; None where an older run doesn't know."""
    if not run.is_binary:
        figure = run.test.get("per_class", {}).get(label, {}).get("sensitivity", {})
    else:
        figure = run.test["figures"]["sensitivity" if label == run.positive else "specificity"]
    patients = figure.get("patients")
    return None if patients is None else int(patients)


def wide(run: RunFolder, words: Language) -> list[Caution]:
    """Headline figures that may be much lower or higher; an area that may be guessing is said elsewhere."""
    said = []
    for name in (*(("sensitivity", "specificity") if run.is_binary else ("accuracy",)), _area(run)):
        figure = run.test["figures"][name]
        if figure["value"] is None or figure["low"] is None or figure["high"] - figure["low"] <= _WIDE \
                or (name == _area(run) and _place(figure, _GUESSED_AREA) != "above"):
            continue
        write = words.decimals if name == _area(run) else partial(words.percent, digits=0)
        title = words.say(f"figure.{name}")
        said.append(Caution("caution", words.say("caution.wide", low=write(figure["low"]),
                                                 high=write(figure["high"]),
                                                 figure=title[0].lower() + title[1:])))
    return said


def _shortcuts(run: RunFolder, words: Language) -> list[Caution]:
    """The strongest fact of each kind, of each standing beside the network."""
    area = run.test["figures"].get("auc") or {"value": None}
    said = []
    for kind in KINDS:
        facts = sorted(facts_of(run, kind), key=lambda fact: float(fact["value"]))
        strongest = {standing(fact, area): fact for fact in facts}
        for place in ("near", "ahead", "unclear"):
            # What can't be told is worth a word only where nothing can.
            if place in strongest and not (place == "unclear" and {"near", "ahead"} & strongest.keys()):
                fact = strongest[place]
                said.append(Caution("caution", words.say(
                    f"caution.{kind}.{place}", fact=words.named("shortcut", fact["name"]),
                    best=words.decimals(fact["value"]), area=words.decimals(area["value"]))))
    return said


def _looking_same(run: RunFolder) -> int:
    """Pairs of films that look the same and lie in different splits."""
    return int((run.metrics.get("near_duplicates") or {}).get("across") or 0)


def _near_duplicates(run: RunFolder, words: Language) -> list[Caution]:
    across = _looking_same(run)
    return [Caution("caution", words.say("caution.duplicates", n=words.count(across, "pair")))] if across \
        else []


def _small_changes(run: RunFolder) -> list[dict[str, Any]]:
    """What robustness.json says of each small change; a negative is none."""
    return [row for row in run.record(ROBUSTNESS).get("perturbations") or [] if row["name"] != "negative"]


def _fragile(run: RunFolder, words: Language) -> list[Caution]:
    """The small changes that change most verdicts, in the margins and elsewhere."""
    said = []
    for key in ("margin", "fragile"):
        mine = [row for row in _small_changes(run) if (row["name"] in _MARGINS) is (key == "margin")]
        worst = max(mine, key=lambda row: float(row["changed"]["value"] or 0), default=None)
        if worst is not None and (worst["changed"]["value"] or 0) > _FRAGILE:
            interval = words.interval(worst["changed"], partial(words.percent, digits=0))
            said.append(Caution("caution", words.say(
                f"caution.{key}", share=words.percent(worst["changed"]["value"], 0),
                change="; ".join(filter(None, (words.named("robust", worst["name"]).lower(), interval))))))
    return said


def _costly(run: RunFolder, words: Language) -> list[Caution]:
    """The small change that lowers a headline figure most, and beyond chance."""
    costs = [(row[name]["value"], name, row) for row in _small_changes(run)
             for name in ("sensitivity", "specificity", "auc")
             if name in row and row[name]["high"] is not None
             and row[name]["value"] < -_COST and row[name]["high"] < 0]
    if not costs:
        return []
    value, name, row = min(costs, key=lambda cost: float(cost[0]))
    write = partial(words.change, name)
    return [Caution("caution", words.say("caution.costs", figure=words.say(f"figure.{name}"),
                                         value=write(value), interval=words.interval(row[name], write),
                                         change=words.named("robust", row["name"]).lower()))]


def _lucky(run: RunFolder, words: Language) -> list[Caution]:
    """Headline figures that were lower on every other split of the same films."""
    figures = run.record(REPEATS).get("figures") or {}
    better = [words.say("caution.lucky.figure", name=words.say(f"figure.{name}"),
                        own=words.decimals(figures[name]["own"]), most=words.decimals(figures[name]["most"]))
              for name in extremes(figures)["above"]]
    return [Caution("caution", words.say("caution.lucky", figures="; ".join(better)))] if better else []


def _support(run: RunFolder) -> dict[str, int]:
    return {name: sum(row) for name, row in zip(run.classes, run.test["confusion"], strict=True)}
