"""The record in a folder of prepared films: from what, by which filters, and what was dropped on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from pneumo_tf.cohort import Dropped, Step
from pneumo_tf.data.preparation.filters import FilterOptions
from pneumo_tf.errors import FilmError
from pneumo_tf.storage import read_json

MANIFEST = "manifest.csv"
RECORD = "prepared.json"


@dataclass(frozen=True)
class Part:
    """One preparation: all classes of a source, or the one class of a source with a name.

    Attributes:
        source: Name of the folder or archive.
        fingerprint: Hash of its films' names and bytes.
        options: Filters and choices, as JSON holds them.
        labels: Classes.
        steps: What was found, dropped and kept; empty until finished.
    """

    source: str
    fingerprint: str
    options: Mapping[str, Any]
    labels: tuple[str, ...]
    steps: tuple[Step, ...] = ()

    @property
    def filters(self) -> FilterOptions:
        return FilterOptions.from_json(self.options)

    @property
    def plan(self) -> dict[str, Any]:
        """What makes two preparations the same: films and options, wherever the films lie."""
        return {"fingerprint": self.fingerprint, "options": dict(self.options)}

    def to_json(self) -> dict[str, Any]:
        """The preparation as `prepared.json` holds it."""
        return {"source": self.source, "labels": list(self.labels), **self.plan, **_flow(self.steps)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """A preparation that `to_json` wrote."""
        steps = [Step(step["stage"], step["kept"], tuple(Dropped(**film) for film in step["dropped"]),
                      tuple(Dropped(**film) for film in step.get("noted", ()))) for step in content["steps"]]
        return cls(content["source"], content["fingerprint"], content["options"], tuple(content["labels"]),
                   tuple(steps))


@dataclass(frozen=True)
class Prepared:
    """Everything that was prepared into one folder: one part, or one for each class prepared by name."""

    parts: tuple[Part, ...]

    @property
    def filters(self) -> FilterOptions:
        """What was done to the pixels of every film; new films need the same."""
        depths = [part.filters.depth for part in self.parts if part.filters.depth]
        return replace(self.parts[0].filters, depth=max(depths, default=None))

    @property
    def steps(self) -> tuple[Step, ...]:
        """Stages in order, the parts' added up; a stage that a part went without keeps all it had."""
        stages = list(dict.fromkeys(step.stage for part in self.parts for step in part.steps))
        return tuple(_added(stage, self.parts) for stage in stages)

    def to_json(self) -> dict[str, Any]:
        """What `prepared.json` holds: one part, or the sum of the parts and the parts."""
        if len(self.parts) == 1:
            return self.parts[0].to_json()
        return {"source": ", ".join(part.source for part in self.parts), "options": self.filters.to_json(),
                **_flow(self.steps), "parts": [part.to_json() for part in self.parts]}


def read_prepared(target: Path) -> Prepared | None:
    """What was prepared into a folder, or None where nothing was, or not to the end.

    Raises:
        FilmError: A `prepared.json` that isn't ours.
    """
    path = target / RECORD
    if not path.is_file() or not (target / MANIFEST).is_file():
        return None
    try:
        content = read_json(path)
        prepared = Prepared(tuple(Part.from_json(part) for part in content.get("parts", [content])))
        _ = prepared.filters, prepared.steps  # which fail here where something is of another kind
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as failure:
        raise FilmError(f"{RECORD} must be as prepare_pict.py wrote it.",
                        received=f"{path} ({type(failure).__name__}: {failure})",
                        remedy="Delete it and prepare the films again with --force.") from failure
    return prepared


def _flow(steps: Sequence[Step]) -> dict[str, Any]:
    dropped = [asdict(film) for step in steps for film in step.dropped]
    found = steps[0].kept + len(steps[0].dropped) if steps else 0
    return {"found": found, "kept": steps[-1].kept if steps else 0, "dropped": dropped,
            "steps": [asdict(step) for step in steps]}


def _added(stage: str, parts: Sequence[Part]) -> Step:
    steps = [next((step for step in part.steps if step.stage == stage), None) for part in parts]
    kept = sum(step.kept if step else part.steps[-1].kept for step, part in zip(steps, parts, strict=True))
    return Step(stage, kept, tuple(film for step in steps if step for film in step.dropped),
                tuple(film for step in steps if step for film in step.noted))
