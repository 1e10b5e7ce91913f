"""Which films a run can't judge, and what speaks against believing what it says of others.

A film is looked at twice: as it came in, before anything is computed of it, and then by what the network saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pneumo_tf.data.images import in_mode
from pneumo_tf.data.preparation.lungs import SIZE, lungs_mask
from pneumo_tf.reading.answer import UNLIKE
from pneumo_tf.report.words import Language, language, languages
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.runs.reference import Reference, read_reference, shows_lungs

REFUSALS = ("unreadable", "no_picture", "in_colour", "too_small", "upside_down", "sideways", "inverted",
            "not_frontal_chest", UNLIKE)
DOUBTS = ("mirrored",)
CODES: dict[str, dict[str, str]] = {
    code: {lang: language(lang).say(f"refusal.{code}") for lang in languages()}
    for code in (*REFUSALS, *DOUBTS)}
"""Every code, and what it means in each language."""

# Ways to put a film right, by the name that a verdict gives.
TURNS = {"half": Image.Transpose.ROTATE_180, "left": Image.Transpose.ROTATE_90,
         "right": Image.Transpose.ROTATE_270, "mirror": Image.Transpose.FLIP_LEFT_RIGHT}
NEGATIVE = "negative"
_CELLS = 64  # along each side of the picture that is looked at for a picture
_FLAT = 2.0  # grey levels of deviation
_NOISE = 0.5  # correlation of neighbours
_CHROMA, _COLOURED = 30, 0.05  # grey levels between channels, and the share of pixels that have as many
_SMALL = 0.5  # of the network's input
# How much brighter than their surroundings lungs are on a negative, over the deviation of both: white lungs
# are a little brighter on some films too (benchmarks/refusal.md).
_BRIGHT = 0.1

Film = NDArray[np.uint8]


class Verdict(NamedTuple):
    """What speaks against an answer.

    Attributes:
        refusal: A code of REFUSALS where there can be no answer, else "".
        reason: The refusal or a doubt, in the reader's language; "" where there is nothing to say.
        turn: What `put_right` has to do to the film so that it no longer speaks against it; "" for nothing.
    """

    refusal: str = ""
    reason: str = ""
    turn: str = ""


@dataclass(frozen=True)
class Judge:
    """Says of each film whether a run can judge it.

    Attributes:
        words: The language of the reasons.
        size: Height and width of the network's input in pixels.
        is_grey: Whether the run's films are grey by nature, so that one in colour is none of their kind.
        is_chest: Whether they are frontal chest films.
        reference: What the run keeps of its own films; None where that isn't known.
    """

    words: Language
    size: int
    is_grey: bool
    is_chest: bool
    reference: Reference | None

    @property
    def not_known(self) -> tuple[str, ...]:
        """The codes that this run has no means to tell."""
        means = {"in_colour": self.is_grey, "not_frontal_chest": self.is_chest,
                 UNLIKE: self.reference is not None,
                 "mirrored": self.reference is not None and self.reference.sides is not None}
        return tuple(code for code, known in means.items() if not known)

    def look(self, film: Image.Image) -> Verdict:
        """What an original film shows by itself, as `images.read_film` gives it, or a prepared one."""
        grey = np.asarray(in_mode(film, "L"))
        if not _shows_anything(grey):
            return self._refused("no_picture")
        if self.is_grey and _is_coloured(film):
            return self._refused("in_colour")
        if min(film.size) < _SMALL * self.size:
            return self._refused("too_small")
        return self._oriented(grey) if self.is_chest else Verdict()

    def judge(self, film: Film, features: NDArray[np.floating]) -> Verdict:
        """What the network saw: the film, uint8 (H, W, 3), and its features (D,)."""
        if self.reference is None:
            return Verdict("", self.words.say("refusal.not_known"))
        novelty, sides = self.reference.novelty, self.reference.sides
        if not novelty.distances(features[None])[0] <= novelty.threshold:  # nor is a NaN
            return self._refused(UNLIKE)
        if sides is not None and sides.is_mirrored(film):
            return Verdict("", self.words.say("refusal.mirrored"), "mirror")
        return Verdict()

    def _refused(self, code: str, turn: str = "") -> Verdict:
        return Verdict(code, self.words.say(f"refusal.{code}"), turn)

    def _oriented(self, grey: Film) -> Verdict:
        """Whether lungs are seen, upright and dark; else whether they are once the film is put right.

        The finder has learnt to see none on films that don't stand upright.
        """
        lungs = lungs_mask(grey)
        if lungs is not None:
            is_negative = _darkness(lungs, grey) < -_BRIGHT
            return self._refused("inverted", NEGATIVE) if is_negative else Verdict()
        for code, turn in (("upside_down", "half"), ("sideways", "left"), ("sideways", "right"),
                           ("inverted", NEGATIVE)):
            righted = np.asarray(put_right(Image.fromarray(grey), turn))
            lungs = lungs_mask(righted)
            if lungs is not None and _darkness(lungs, righted) > 0:
                return self._refused(code, turn)
        return self._refused("not_frontal_chest")


def judge_of(run: RunFolder, *, words: Language, size: int) -> Judge:
    """The judge of a run whose network takes films of `size` pixels.

    Raises:
        RunError: What the run keeps of its films is damaged.
    """
    is_chest = shows_lungs(run.facts)
    # Films that the preparation made grey may well come in colour, unless they are X-rays.
    was_grey = not run.facts.get("preparation") and bool((run.facts.get("reference") or {}).get("grey"))
    return Judge(words, size, is_chest or was_grey, is_chest, read_reference(run))


def put_right(film: Image.Image, turn: str) -> Image.Image:
    """A film turned, mirrored or inverted as a verdict's `turn` says; as it is where that is ""."""
    if turn == NEGATIVE:
        return ImageOps.invert(film)
    return film.transpose(TURNS[turn]) if turn else film


def _shows_anything(grey: Film) -> bool:
    """Whether a film is neither all alike nor noise, of which neighbours in a small copy don't resemble."""
    small = cv2.resize(grey, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA).astype(np.float64)
    if small.std() < _FLAT:
        return False
    small -= small.mean()
    alike = min((small[1:] * small[:-1]).mean(), (small[:, 1:] * small[:, :-1]).mean())
    return bool(alike >= _NOISE * small.var())


def _is_coloured(film: Image.Image) -> bool:
    if film.mode == "L":
        return False
    small = np.asarray(film.resize((2 * _CELLS, 2 * _CELLS), Image.Resampling.BOX))
    return bool((np.ptp(small, axis=2) > _CHROMA).mean() > _COLOURED)


def _darkness(lungs: NDArray[np.bool_], grey: Film) -> float:
    """How much darker lungs, bool (96, 96), are than what else lies in their box, as air is.

    The difference of the means over the deviation of all.
    """
    rows, columns = np.nonzero(lungs)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    small = cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[box].astype(np.float64)
    return float((small[~lungs[box]].mean() - small[lungs[box]].mean()) / (small.std() + 1e-9))
