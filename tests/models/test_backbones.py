"""The contract that every row of the table keeps."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.models.backbones import BACKBONES, Backbone, get_backbone
from pneumo_tf.models.classifier import build_backbone, pooled_features

CHANNELS = {"inception_v3": 2048, "efficientnet_lite0": 1280}
# Published: the inputs each was trained on, as a function of pixels in 0–255.
TRAINED_ON = {"inception_v3": lambda pixels: keras.applications.inception_v3.preprocess_input(pixels.copy()),
              "efficientnet_lite0": lambda pixels: (pixels - 127) / 128}


def test_the_last_map_has_the_published_channels(backbone: Backbone, lived_in: keras.Model) -> None:
    assert lived_in.input_shape == (None, backbone.smallest, backbone.smallest, 3)
    assert lived_in.output_shape == (None, 1, 1, CHANNELS[backbone.name])


def test_films_are_scaled_inside_as_the_network_was_trained(
        backbone: Backbone, lived_in: keras.Model, films: np.ndarray) -> None:
    unscaled = build_backbone(backbone, backbone.smallest, scaling=(1.0, 0.0))
    unscaled.set_weights(lived_in.get_weights())
    by_hand = np.asarray(unscaled(TRAINED_ON[backbone.name](films)))
    np.testing.assert_allclose(np.asarray(lived_in(films)), by_hand, atol=5e-4 * by_hand.max())


def test_it_comes_back_from_json_with_built_in_layers_alone(
        lived_in: keras.Model, films: np.ndarray) -> None:
    again = keras.models.model_from_json(lived_in.to_json(), custom_objects={})
    assert {type(layer).__module__.partition(".")[0] for layer in again.layers} == {"keras"}
    again.set_weights(lived_in.get_weights())
    np.testing.assert_allclose(np.asarray(again(films)), np.asarray(lived_in(films)), atol=1e-3)


def test_its_taps_lie_deeper_and_deeper_and_nothing_behind_the_last_is_kept(
        backbone: Backbone, lived_in: keras.Model) -> None:
    names = [layer.name for layer in lived_in.layers]
    depths = [names.index(tap) for tap in backbone.taps]
    assert depths == sorted(depths)
    described = pooled_features(lived_in, backbone.taps)
    kept = {layer.name for layer in described.layers} & set(names)
    assert set(backbone.taps) <= kept <= set(names[: depths[-1] + 1])


def test_a_side_below_its_smallest_is_refused_before_keras_fails(backbone: Backbone) -> None:
    with pytest.raises(OptionError, match=f"needs films of at least {backbone.smallest} pixels"):
        build_backbone(backbone, backbone.smallest - 1)


@pytest.mark.parametrize("name", ["", "resnet"])
def test_a_name_that_is_not_in_the_table_is_answered_with_those_that_are(name: str) -> None:
    with pytest.raises(OptionError, match=r"Choose one of: inception_v3, efficientnet_lite0\.$"):
        get_backbone(name)


def test_a_name_gives_its_row() -> None:
    assert all(get_backbone(name) is row and row.name == name for name, row in BACKBONES.items())
