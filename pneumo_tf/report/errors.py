"""The films that the network gets most wrong, what it takes for what, and the labels worth a second look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pneumo_tf.report.films import Captioned, Shown, pictures, right_ones
from pneumo_tf.report.language import Language
from pneumo_tf.runs.folder import RunFolder

_OF_EACH_KIND, _RIGHT, _DOUBTS, _PAIRS = 10, 5, 10, 12
Record = dict[str, Any]


def content(run: RunFolder, words: Language) -> dict[str, Any]:
    """What the sections on errors and on doubtful labels show, under `errors` and `doubts`.

    None where the run has no record of them.
    """
    errors, doubts = run.test.get("errors"), run.metrics.get("doubts")
    return {"errors": _errors(errors, run, words) if errors else None,
            "doubts": _doubts(doubts, run, words) if doubts and not doubts.get("why") else None}


def _errors(found: Record, run: RunFolder, words: Language) -> dict[str, Any]:
    wrong = [film for film in found["top_losses"] if film["actual"] != film["predicted"]]
    galleries = [(words.say(f"errors.{kind}", positive=run.positive), _gallery(films, run, words))
                 for kind, films in _kinds(wrong, run).items() if films]
    right = [_right(film, words) for film in right_ones(run, _RIGHT)]
    lead = words.say("errors.lead" if wrong else "errors.none", wrong=words.number(found["wrong"]),
                     films=words.count(found["films"], "film"))
    return {"lead": lead, "galleries": [*galleries, *([(words.say("errors.right"), right)] if right else [])],
            "confused": [] if run.is_binary else _confused(found, words)}


def _kinds(wrong: Sequence[Record], run: RunFolder) -> dict[str, Sequence[Record]]:
    """Missed films and false alarms, each by its loss; of several classes all errors together."""
    if not run.is_binary:
        return {"wrong": wrong[:2 * _OF_EACH_KIND]}
    missed = [film for film in wrong if film["actual"] == run.positive]
    alarms = [film for film in wrong if film["actual"] != run.positive]
    return {"missed": missed[:_OF_EACH_KIND], "alarms": alarms[:_OF_EACH_KIND]}


def _gallery(films: Sequence[Record], run: RunFolder, words: Language) -> list[Captioned]:
    thumbnails = pictures(run, [film["id"] for film in films])
    return [_wrong(film, thumbnails[film["id"]], words) for film in films]


def _wrong(film: Record, picture: str | None, words: Language) -> Captioned:
    label, predicted = film["actual"], film["predicted"]
    alt = words.say("errors.alt", id=film["id"], label=label, predicted=predicted,
                    score=words.number(film["score"], 3))
    lines = [words.say("errors.is", label=label),
             words.say("errors.loss", loss=words.number(film["loss"], 2)),
             words.say("errors.probability", label=label, probability=_chance(film["probability"], words))]
    return Captioned(film["id"], picture, alt, f"✕ {words.say('errors.said', predicted=predicted)}", lines,
                     is_wrong=True)


def _right(film: Shown, words: Language) -> Captioned:
    score = words.number(film.score, 3)
    alt = words.say("errors.alt", id=film.id, label=film.label, predicted=film.predicted, score=score)
    return Captioned(film.id, film.picture, alt, f"✓ {words.say('errors.said', predicted=film.predicted)}",
                     [f"{words.say('errors.score')} {score}"])


def _chance(probability: float, words: Language) -> str:
    """Three decimals that never round to impossible or certain."""
    if 0 < probability < 0.001:
        return f"< {words.number(0.001, 3)}"
    return f"> {words.number(0.999, 3)}" if 0.999 < probability < 1 else words.number(probability, 3)


def _confused(found: Record, words: Language) -> list[tuple[str, str, str]]:
    """Pairs of classes, most often confused first; for two the confusion matrix says it all."""
    return [(pair["actual"], pair["predicted"], words.number(pair["films"]))
            for pair in found["most_confused"][:_PAIRS]]


def _doubts(found: Record, run: RunFolder, words: Language) -> dict[str, Any]:
    films, number = sum(found["films"].values()), sum(found["doubtful"].values())
    named = found["found"][:_DOUBTS]
    thumbnails = pictures(run, [film["id"] for film in named])
    lead = words.say("doubt.some" if number else "doubt.none", films=words.count(films, "film"),
                     doubted=words.count(number, "doubt"))
    asked = words.say("doubt.asked.train" if "train" in found["films"] else "doubt.asked.rest")
    rest = number - len(named)
    return {"lead": lead, "asked": asked,
            "more": words.say("doubt.more", films=words.count(rest, "film")) if rest else "",
            "films": [_doubt(film, thumbnails[film["id"]], words) for film in named]}


def _doubt(film: Record, picture: str | None, words: Language) -> Captioned:
    alt = words.say("doubt.alt", id=film["id"], label=film["label"], suggested=film["suggested"])
    suggested = words.say("doubt.suggested", suggested=film["suggested"],
                          probability=_chance(film["probability"], words))
    return Captioned(film["id"], picture, alt, words.say("doubt.labelled", label=film["label"]),
                     [suggested, words.named("split", film["split"])])
