"""What a run keeps of its own films, so that new ones can be held against them: numbers, no pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pneumo_tf.evaluation.novelty import Novelty, Space
from pneumo_tf.evaluation.shift import Sample
from pneumo_tf.evaluation.sides import Sides
from pneumo_tf.runs.folder import REFERENCE, RUN, RunError, RunFolder
from pneumo_tf.storage import read_arrays, replacing

_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Reference:
    """A run's own films.

    Attributes:
        novelty: How far a film may lie from those of the training.
        own: Validation films, which films that come in are compared with.
        sides: What tells left from right; None where the films don't.
    """

    novelty: Novelty
    own: Sample
    sides: Sides | None = None


def shows_lungs(facts: Mapping[str, Any]) -> bool:
    """Whether a run's films are frontal chest films, by its run.json; an older one's by how they are cut."""
    lungs = (facts.get("reference") or {}).get("lungs")
    return lungs["found"] >= _NEARLY_ALL * lungs["of"] if lungs else is_cropped(facts)


def is_cropped(facts: Mapping[str, Any]) -> bool:
    """Whether a run's films were cut to their lungs, so that how these lie in the frame tells nothing."""
    return ((facts.get("preparation") or {}).get("options") or {}).get("fit") == "lungs"


def write_reference(folder: Path, reference: Reference) -> None:
    """Write a run's `reference.npz`; its thresholds belong into run.json.

    Raises:
        StorageError: The disk refuses.
    """
    novelty, space = reference.novelty, reference.novelty.space
    arrays = {"mean": space.mean, "basis": space.basis.astype(np.float16), "spread": space.spread,
              "films": novelty.films.astype(np.float16), "labels": novelty.labels,
              "own_coordinates": reference.own.coordinates.astype(np.float16),
              "own_facts": reference.own.facts.astype(np.float32)}
    if reference.sides is not None:
        arrays["sides"] = reference.sides.weights
    with replacing(folder / REFERENCE) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def read_reference(run: RunFolder) -> Reference | None:
    """What a run keeps of its films; None where it was made before runs did, or of too few films.

    Raises:
        RunError: The file is damaged.
    """
    facts, path = run.facts.get("reference") or {}, run.path / REFERENCE
    if not facts.get("novelty") or not path.is_file():
        return None
    try:
        arrays: dict[str, Any] = {
            name: array.astype(np.float32) if array.dtype == np.float16 else array
            for name, array in read_arrays(path).items()}
        space = Space(arrays["mean"], arrays["basis"], arrays["spread"])
        novelty = Novelty(space, arrays["films"], arrays["labels"], float(facts["novelty"]["threshold"]))
        own = Sample(arrays["own_coordinates"], arrays["own_facts"])
        mirrored = facts.get("mirrored")
        return Reference(novelty, own, mirrored and Sides(arrays["sides"], float(mirrored["threshold"])))
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise RunError(f"{REFERENCE} must be whole and belong to {RUN}.", received=f"{path} ({failure})",
                       remedy="Train again, or name another run with --run.") from failure
