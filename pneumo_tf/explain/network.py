"""The classifier to be explained: a run's network with its classes, its threshold and its reader of films."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras

from pneumo_tf.explain.lime import Decide
from pneumo_tf.explain.superpixels import Film
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.runs.predictor import decide, film_reader, load_network


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
    model = load_network(run)
    at_point = partial(decide, positive=run.classes.index(run.positive),
                       threshold=run.threshold if run.is_binary else None)
    return Network(model, tuple(run.classes), film_reader(run, model.input_shape[1]), at_point)
