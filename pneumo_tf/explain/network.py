"""The classifier to be explained: a run's network with its classes, its threshold and its reader of films."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumo_tf.data.filters import FilterOptions, apply_filters
from pneumo_tf.deploy.export import COMPLETE
from pneumo_tf.errors import FilmError
from pneumo_tf.explain.lime import Decide
from pneumo_tf.explain.superpixels import Film
from pneumo_tf.report.run_folder import RunError, RunFolder
from pneumo_tf.training.pixels import UNREADABLE, load_film


@dataclass(frozen=True)
class Network:
    """What explanations need of a classifier.

    Attributes:
        model: A flat functional graph, films in 0-255 to scores.
        classes: Names, in the order of the scores.
        read: A film's file to uint8 (H, W, 3), as the network meets it.
        decide: Scores (n, K) to classes (n,).
    """

    model: keras.Model
    classes: tuple[str, ...]
    read: Callable[[Path], Film]
    decide: Decide


def network_of_run(run: RunFolder) -> Network:
    """The network of a finished run.

    Raises:
        RunError: The run has no network, or one that Keras can't read.
    """
    path = run.path / COMPLETE
    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError) as failure:
        raise RunError("A run is explained by the network that it exported.",
                       received=f"{path} ({str(failure).strip().partition(chr(10))[0]})",
                       remedy="Train again, or name another run with --run.") from failure
    return Network(model, tuple(run.classes), lambda film: _read(film, run, model.input_shape[1]),
                   _decision(run))


def _decision(run: RunFolder) -> Decide:
    """The class at the run's operating point; of several classes, or without a point, the highest score."""
    threshold = run.threshold if run.is_binary else None
    if threshold is None:
        return lambda scores: scores.argmax(axis=1)
    positive = run.classes.index(run.positive)
    return lambda scores: np.where(scores[:, positive] >= threshold, positive, 1 - positive)


def _read(path: Path, run: RunFolder, size: int) -> Film:
    """A film as the run's network meets it: prepared as the run's films were, unless it is one of them."""
    preparation = run.facts.get("preparation")
    films = Path((run.facts.get("data") or {}).get("films") or ".").expanduser().resolve()
    if not preparation or path.resolve().is_relative_to(films):
        return load_film(path, size)
    return _prepared(path, preparation["options"], size)


def _prepared(path: Path, options: dict[str, Any], size: int) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            image.load()
            filtered = apply_filters(image, FilterOptions.from_json(options))
    except UNREADABLE as failure:
        raise FilmError("A film must be a complete image.", received=f"{path} ({failure})",
                        remedy="Replace it or name another one.") from failure
    resized = filtered.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized)
