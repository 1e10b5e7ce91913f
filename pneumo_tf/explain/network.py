"""The classifier to be explained: a run's network, or InceptionV3 with its 1,000 ImageNet classes.

The score, probability and class that are shown of a film come from the float32 network. Perturbed films, of
which an explanation needs thousands, may be scored in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from PIL import Image

from pneumo_tf.data.images import in_mode, read_film_file
from pneumo_tf.evaluation.calibration.calibrators import Uncalibrated
from pneumo_tf.explain.lime import Decide
from pneumo_tf.explain.superpixels import BATCH, Film, Films, Scorer
from pneumo_tf.models import backbones
from pneumo_tf.models.published import cache_folder
from pneumo_tf.models.weights.keras_file import load_keras_weights
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.runs.predictor import load_network, predictor_of
from pneumo_tf.runs.reference import shows_lungs
from pneumo_tf.training.engine import AUTO, KERAS, Engine, KerasEngine, build_engine, choose_engine
from pneumo_tf.training.machine import describe_device, pin_numbers

IMAGENET_SIDE = 299
_INDEX = "imagenet_class_index.json"


@dataclass(frozen=True)
class Network:
    """A classifier with all that explanations need of it.

    Attributes:
        model: A flat functional graph, films in 0-255 to scores.
        classes: Names, in the order of the scores.
        read: A film's file to uint8 (H, W, 3), the pixels that the network is given.
        decide: Scores (n, K) to classes (n,).
        exact: Films to their float32 scores.
        quick: The same for perturbed films, in bfloat16 where the machine has instructions for it.
        positive: Of two classes the one that is explained; "" explains the class that a film is called.
        threshold: On the score of `positive`; None where the highest score wins.
        probabilities: Scores (n, K) to calibrated probabilities (n, K); None where the run has no calibrator.
        shows_lungs: Whether its films are frontal chest films.
    """

    model: keras.Model
    classes: tuple[str, ...]
    read: Callable[[Path], Film]
    decide: Decide
    exact: Scorer
    quick: Scorer
    positive: str = ""
    threshold: float | None = None
    probabilities: Callable[[NDArray[np.floating]], NDArray[np.floating]] | None = None
    shows_lungs: bool = False


def network_of_run(run: RunFolder, *, engine: str | None = None, threads: int | None = None) -> Network:
    """The network of a finished run.

    Without an engine it takes the run's where that can be had here; OpenVINO takes all cores unless told.

    Raises:
        RunError: The run has no network, or one that Keras can't read.
        OptionError: The engine can't be had here.
    """
    if engine is None:
        engine = KERAS if run.facts.get("engine", KERAS) == KERAS else AUTO
    model = load_network(run)
    predictor = predictor_of(run, engine=engine, threads=threads, model=model)
    is_calibrated = not isinstance(predictor.calibrator, Uncalibrated)
    classes = len(predictor.classes)
    return Network(model, predictor.classes, predictor.read, predictor.decide,
                   exact=scorer_of(predictor.engine, classes), quick=_quick(predictor.engine, classes),
                   positive=run.positive if run.is_binary else "", threshold=predictor.threshold,
                   probabilities=predictor.probabilities if is_calibrated else None,
                   shows_lungs=shows_lungs(run.facts))


def imagenet_network(weights: Path, *, engine: str | None = None, threads: int | None = None) -> Network:
    """InceptionV3 with its own top, for the control image of the assignment.

    The assignment's pipeline resizes, cuts the centre to 299 × 299, divides by 255 and normalises by
    ImageNet's means and deviations. The network of its library then turns that into [−1, 1], where its
    weights belong (`transform_input` in torchvision); so do these two layers here.

    The weights are Keras's file with top, `inception_v3_weights_tf_dim_ordering_tf_kernels.h5`; without an
    engine Keras computes.

    Raises:
        WeightsError: Another file.
        OptionError: The engine can't be had here.
    """
    pin_numbers()
    device = describe_device()
    name = choose_engine(engine or KERAS, device)
    films = keras.Input((IMAGENET_SIDE, IMAGENET_SIDE, 3), name="films")
    x = layers.Rescaling(backbones.IMAGENET_SCALE, backbones.IMAGENET_OFFSET, name="normalised")(films)
    x = layers.Rescaling([2 * deviation for deviation in backbones.IMAGENET_DEVIATIONS],
                         [2 * mean - 1 for mean in backbones.IMAGENET_MEANS], name="transform_input")(x)
    model = keras.applications.InceptionV3(weights=None, include_top=True, input_tensor=x)
    load_keras_weights(model, weights)
    built = build_engine(model, name, threads=threads or device.cores)
    return Network(model, tuple(imagenet_classes()), read_centre, lambda scores: scores.argmax(axis=1),
                   exact=scorer_of(built), quick=_quick(built))


def imagenet_classes() -> list[str]:
    """The 1,000 names of `decode_predictions`; "class 0" … where its list isn't in Keras's cache.

    Keras fetches that list from the network when it is first used; here nothing is fetched.
    """
    index = cache_folder() / _INDEX
    if not index.is_file():
        return [f"class {number}" for number in range(1000)]
    from keras.applications.imagenet_utils import decode_predictions

    ranked = decode_predictions(-np.arange(1000, dtype=np.float32)[None], top=1000)[0]
    return [name for _, name, _ in ranked]


def read_centre(path: Path) -> Film:
    """An image with its shorter side at 299 pixels, its centre cut out, uint8 (299, 299, 3).

    Raises:
        FilmError: No image, or only a part of one.
    """
    upright = in_mode(read_film_file(path), "RGB")
    factor = IMAGENET_SIDE / min(upright.size)
    width, height = (max(IMAGENET_SIDE, round(factor * side)) for side in upright.size)
    left, top = (width - IMAGENET_SIDE) // 2, (height - IMAGENET_SIDE) // 2
    resized = upright.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + IMAGENET_SIDE, top + IMAGENET_SIDE)))


def scorer_of(engine: Engine, classes: int | None = None) -> Scorer:
    """uint8 films (n, H, W, 3) to float32 scores (n, K), computed a batch at a time.

    Of an engine that gives more than scores, they are the first `classes` of its outputs.
    """

    def score(films: Films) -> NDArray[np.float32]:
        # Keras compiles for each number of films, so it always gets full batches.
        missing = -len(films) % BATCH if isinstance(engine, KerasEngine) else 0
        whole = np.concatenate([films, np.zeros((missing, *films.shape[1:]), np.uint8)]) if missing else films
        batches = [whole[start : start + BATCH] for start in range(0, len(whole), BATCH)]
        return np.concatenate([engine(batch) for batch in batches], dtype=np.float32)[: len(films), :classes]

    return score


def _quick(engine: Engine, classes: int | None = None) -> Scorer:
    """bfloat16 scores differ from the exact ones in the third decimal."""
    return scorer_of(engine.coarse() if describe_device().bfloat16 else engine, classes)
