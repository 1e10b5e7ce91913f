"""The films that the network gets most wrong, what it takes for what, and the labels worth a second look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pneumo_tf.report.cautions import is_guessing
from pneumo_tf.report.charts.pictures import Captioned, spread_indices, thumbnails
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.sections.explanations import enlarged
from pneumo_tf.report.sections.films import films_of, tested_films
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import RunFolder

_OF_EACH_KIND, _RIGHT, _DOUBTS, _PAIRS = 10, 5, 10, 12
Record = dict[str, Any]


def errors(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """The gravest errors beside films that were called rightly; None where the run has no record of them."""
    found = run.test.get("errors")
    if not found:
        return None
    wrong = [film for film in found["top_losses"] if film["actual"] != film["predicted"]]
    galleries = [(words.say(f"errors.{kind}", positive=run.positive), _wrong_ones(films, run, words))
                 for kind, films in _kinds(wrong, run).items()]
    galleries.append((words.say("errors.right"), _right_ones(run, words)))
    lead = words.say("errors.lead" if wrong else "errors.none", wrong=words.number(found["wrong"]),
                     films=words.count(found["films"], "film"))
    # Pairs of classes, most often confused first; for two the confusion matrix says it all.
    confused = [] if run.is_binary else found["most_confused"][:_PAIRS]
    return {"lead": lead, "galleries": [(title, enlarged(films, run, words)) for title, films in galleries
                                        if films],
            "confused": [(pair["actual"], pair["predicted"], words.number(pair["films"]))
                         for pair in confused]}


def doubts(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """Labels that the network doubts; None where none were looked for, or none could be judged."""
    found = run.metrics.get("doubts")
    if not found or found.get("why"):
        return None
    # What a network that may be guessing doubts is no reason to look again.
    doubted = {"doubtful": {}, "found": []} if is_guessing(run) else found
    number, named = sum(doubted["doubtful"].values()), doubted["found"][:_DOUBTS]
    pictures = thumbnails(run, [film["id"] for film in named])
    kind = "guess" if doubted is not found else "some" if number else "none"
    lead = words.say(f"doubt.{kind}", doubted=words.count(number, "doubt"),
                     films=words.count(sum(found["films"].values()), "film"))
    asked = words.say("doubt.asked.train" if "train" in found["films"] else "doubt.asked.rest")
    rest = number - len(named)
    return {"lead": lead, "asked": asked,
            "more": words.say("doubt.more", films=words.count(rest, "film")) if rest else "",
            "films": enlarged([_doubt(film, pictures[film["id"]], words) for film in named], run, words)}


def _kinds(wrong: Sequence[Record], run: RunFolder) -> dict[str, Sequence[Record]]:
    """Missed films and false alarms, each by its loss; of several classes all errors together."""
    if not run.is_binary:
        return {"wrong": wrong[:2 * _OF_EACH_KIND]}
    missed = [film for film in wrong if film["actual"] == run.positive]
    alarms = [film for film in wrong if film["actual"] != run.positive]
    return {"missed": missed[:_OF_EACH_KIND], "alarms": alarms[:_OF_EACH_KIND]}


def _wrong_ones(films: Sequence[Record], run: RunFolder, words: Language) -> list[Captioned]:
    pictures, shown = thumbnails(run, [film["id"] for film in films]), []
    for film in films:
        label, predicted = film["actual"], film["predicted"]
        alt = words.say("errors.alt", id=film["id"], label=label, predicted=predicted,
                        score=words.number(film["score"], 3))
        lines = [words.say("errors.is", label=label),
                 words.say("errors.probability", label=label,
                           probability=_probability(film["probability"], words))]
        said = words.say("errors.said", predicted=predicted)
        shown.append(Captioned(film["id"], pictures[film["id"]], alt, f"✕ {said}", lines, is_wrong=True))
    return shown


def _right_ones(run: RunFolder, words: Language) -> list[Captioned]:
    """A few test films that were called rightly, spread over the range of scores."""
    table = tested_films(run)
    right = table[table["label"] == table["predicted"]].sort_values(["shown_score", "id"])
    films = list(films_of(right.iloc[spread_indices(len(right), _RIGHT)]))
    pictures, shown = thumbnails(run, [film.id for film in films]), []
    for film in films:
        score = words.number(film.score, 3)
        alt = words.say("errors.alt", id=film.id, label=film.label, predicted=film.predicted, score=score)
        said = words.say("errors.said", predicted=film.predicted)
        shown.append(Captioned(film.id, pictures[film.id], alt, f"✓ {said}",
                               [f"{words.say('errors.score')} {score}"]))
    return shown


def _doubt(film: Record, picture: str | None, words: Language) -> Captioned:
    alt = words.say("doubt.alt", id=film["id"], label=film["label"], suggested=film["suggested"])
    suggested = words.say("doubt.suggested", suggested=film["suggested"],
                          probability=_probability(film["probability"], words))
    return Captioned(film["id"], picture, alt, words.say("doubt.labelled", label=film["label"]),
                     [suggested, words.named("split", film["split"])])


def _probability(value: float, words: Language) -> str:
    """Three decimals that never round to impossible or certain."""
    if 0 < value < 0.001:
        return f"< {words.number(0.001, 3)}"
    return f"> {words.number(0.999, 3)}" if 0.999 < value < 1 else words.number(value, 3)


ERRORS = Section("errors", errors, "single", 20, answers=("failures",))
DOUBT = Section("doubt", doubts, "single", 30, answers=("reference",))
