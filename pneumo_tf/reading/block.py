"""One film's answer as a few lines that a person can read."""

from __future__ import annotations

import textwrap
from functools import partial
from typing import Any

from pneumo_tf.evaluation.calibration.calibrators import Uncalibrated
from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.predict import Reader
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.runs.operating_points import point_of
from pneumo_tf.runs.predictor import Predictor

_WIDTH = 96


def block(answer: Answer, run: RunFolder, reader: Reader, *, at: str = "") -> str:
    """The call in words, its probability and range, how often such a call was right in the test or at the
    place `at`, whose operating point the reader has, and what speaks against believing it; or the refusal.
    """
    words, predictor, say = reader.words, reader.predictor, reader.words.say
    if answer.refusal:
        lines = [say("answer.refused", film=answer.id),
                 say("answer.refusal", code=answer.refusal, reason=answer.reason), say("answer.by_a_person")]
    else:
        reasons = [*([answer.reason] if answer.reason else []), *_doubts(run, predictor, words)]
        lines = [say("answer.call", film=answer.id, call=answer.call),
                 _probability(answer, predictor, words, reader.views), _score(answer, predictor, words),
                 _right_at(answer.call, run, at, words) if at else _right(answer.call, run, words),
                 say("answer.against", reasons="; ".join(reasons)) if reasons
                 else say("answer.nothing_against")]
    first, *others = [*lines, say("caution.device")]
    return "\n".join([first, *(textwrap.fill(line, _WIDTH, initial_indent="  ", subsequent_indent="    ")
                               for line in others)])


def _probability(answer: Answer, predictor: Predictor, words: Language, views: int) -> str:
    assert answer.probability is not None
    label = predictor.positive if predictor.threshold is not None else answer.call
    line = words.say("answer.probability", label=label, value=words.percent(answer.probability))
    if answer.low is None or answer.high is None:
        return line
    kind = "answer.views_and_members" if predictor.members else "answer.views"
    interval = words.between(words.percent(answer.low), words.percent(answer.high))
    of = words.say(kind, n=views, members=predictor.members)
    return f"{line} ({words.say('answer.range', interval=interval, of=of)})"


def _score(answer: Answer, predictor: Predictor, words: Language) -> str:
    assert answer.score is not None
    score = words.number(answer.score, 4)
    if answer.threshold is None:
        return words.say("answer.score.several", score=score, n=len(predictor.classes))
    return words.say("answer.score", score=score, positive=predictor.positive,
                     threshold=words.number(answer.threshold, 4))


def _right(call: str, run: RunFolder, words: Language) -> str:
    """How often such a call was right in the test: the predictive value with its interval."""
    test = run.test
    figure: dict[str, Any] = test["figures"]["ppv" if call == run.positive else "npv"] if run.is_binary \
        else test["per_class"][call]["ppv"]
    if figure["value"] is None:
        return words.say("answer.right.absent", why=words.say(f"why.{figure['why']}"))
    confusion, percent = test["confusion"], partial(words.percent, digits=1)
    share = sum(confusion[run.classes.index(call)]) / sum(map(sum, confusion))
    return words.say("answer.right", call=call, of=words.count(figure["of"], "film"),
                     count=words.number(figure["count"]), value=percent(figure["value"]),
                     interval=words.interval(figure, percent), share=percent(share))


def _right_at(call: str, run: RunFolder, place: str, words: Language) -> str:
    """How often such a call was right among the films that a place was fitted by."""
    figure = point_of(run, place).record["figures"]["ppv" if call == run.positive else "npv"]["after"]
    if figure["value"] is None:
        return words.say("answer.right.absent", why=words.say(f"why.{figure['why']}"))
    percent = partial(words.percent, digits=1)
    return words.say("answer.right.at", call=call, place=place, of=words.count(figure["of"], "film"),
                     count=words.number(figure["count"]), value=percent(figure["value"]),
                     interval=words.interval(figure, percent))


def _doubts(run: RunFolder, predictor: Predictor, words: Language) -> list[str]:
    """What speaks against every answer of the run."""
    found = {"uncalibrated": isinstance(predictor.calibrator, Uncalibrated),
             "phantoms": bool(run.facts.get("phantoms")),
             "patients_unknown": not run.facts.get("patients_known") or run.facts.get("split_by") == "film"}
    return [words.say(f"answer.{name}") for name, holds in found.items() if holds]
