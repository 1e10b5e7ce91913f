"""What a run says of one new film: a call with its probability, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

UNREADABLE = "unreadable"  # the refusal of a file that no picture can be had from
UNLIKE = "unlike"  # the only one that a film is given for what the network sees in it


@dataclass(frozen=True, slots=True)
class Answer:
    """One film's answer.

    Attributes:
        id: The film's path within what was given, with "/" between folders; a DICOM film's instance UID.
        call: The class at the run's operating point; "" where the film is refused.
        probability: Of the positive class, after calibration; with several classes that of the call.
        low, high: The range of that probability over views of the film (and members of an ensemble).
        score: What `probability` was before calibration, as in predictions.csv.
        threshold: The operating point that the score was held against; None with several classes.
        refusal: A code of `refusal.CODES`, or "".
        reason: The refusal, or what speaks against believing the call, in the reader's language.
        ms: Milliseconds that the answer took.
        probabilities: Calibrated, one for each class in the run's order; empty where refused.
    """

    id: str
    call: str = ""
    probability: float | None = None
    low: float | None = None
    high: float | None = None
    score: float | None = None
    threshold: float | None = None
    refusal: str = ""
    reason: str = ""
    ms: float = 0.0
    probabilities: tuple[float, ...] = ()
