"""The control image of the assignment: InceptionV3 with its 1,000 ImageNet classes.

The assignment's pipeline resizes, cuts the centre to 299 × 299, divides by 255 and normalises by ImageNet's
means and deviations. The network of its library then turns that into [−1, 1], where its weights belong
(`transform_input` in torchvision); so do these two layers here.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from PIL import Image

from pneumo_tf.data.images import in_mode, read_film_file
from pneumo_tf.explain.network import Network
from pneumo_tf.models.backbone import (
    IMAGENET_DEVIATIONS,
    IMAGENET_MEANS,
    IMAGENET_OFFSET,
    IMAGENET_SCALE,
)
from pneumo_tf.models.weights.keras_file import load_keras_weights
from pneumo_tf.models.weights.pretrained import cache_folder

SIDE = 299
_INDEX = "imagenet_class_index.json"


def imagenet_network(weights: Path) -> Network:
    """InceptionV3 with its own top.

    Args:
        weights: Keras's file with top, `inception_v3_weights_tf_dim_ordering_tf_kernels.h5`.

    Raises:
        WeightsError: Another file.
    """
    films = keras.Input((SIDE, SIDE, 3), name="films")
    normalised = layers.Rescaling(IMAGENET_SCALE, IMAGENET_OFFSET, name="normalised")(films)
    own = layers.Rescaling([2 * deviation for deviation in IMAGENET_DEVIATIONS],
                           [2 * mean - 1 for mean in IMAGENET_MEANS], name="transform_input")(normalised)
    model = keras.applications.InceptionV3(weights=None, include_top=True, input_tensor=own)
    load_keras_weights(model, weights)
    return Network(model, tuple(class_names()), read_control, lambda scores: scores.argmax(axis=1))


def class_names() -> list[str]:
    """The 1,000 names of `decode_predictions`; "class 0" … where its list isn't in Keras's cache.

    Keras fetches that list from the network when it is first used; here nothing is fetched.
    """
    index = cache_folder() / _INDEX
    if not index.is_file():
        return [f"class {number}" for number in range(1000)]
    from keras.applications.imagenet_utils import decode_predictions

    ranked = decode_predictions(-np.arange(1000, dtype=np.float32)[None], top=1000)[0]
    return [name for _, name, _ in ranked]


def read_control(path: Path) -> NDArray[np.uint8]:
    """An image with its shorter side at 299 pixels, its centre cut out, uint8 (299, 299, 3).

    Raises:
        FilmError: No image, or only a part of one.
    """
    upright = in_mode(read_film_file(path), "RGB")
    factor = SIDE / min(upright.size)
    width, height = (max(SIDE, round(factor * side)) for side in upright.size)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    resized = upright.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))
