"""The contract that every row of the table keeps; what is rebuilt here computes what Keras's own does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.models.backbones import BACKBONES, Backbone, get_backbone
from pneumo_tf.models.classifier import build_backbone, pooled_features
from pneumo_tf.models.weights.pretrained import Weights, load_weights

# Published: the channels of the last map, and the parameters of everything below the classifier.
PUBLISHED = {
    "inception_v3": (2048, 21_802_784), "resnet50": (2048, 23_587_712), "resnet101": (2048, 42_658_176),
    "resnet152": (2048, 58_370_944), "vgg16": (512, 14_714_688), "densenet121": (1024, 7_037_504),
    "xception": (2048, 20_861_480), "mobilenet_v3_large": (960, 2_996_352),
    "mobilenet_v3_small": (576, 939_120), "efficientnet_v2_b0": (1280, 5_919_312),
    "efficientnet_v2_s": (1280, 20_331_360), "convnext_tiny": (768, 27_820_128),
    "resnet18": (512, 11_689_512 - 513_000 + 9_600), "resnet34": (512, 21_797_672 - 513_000 + 17_024),
    "efficientnet_lite0": (1280, 4_652_008 - 1_281_000 + 42_016),
    "efficientnet_lite1": (1280, 5_416_680 - 1_281_000 + 53_664),
    "efficientnet_lite2": (1280, 6_092_072 - 1_281_000 + 58_096),
    "densenet121_xrv": (1024, 7_037_504),  # its first kernel is that of three channels
    # Four places instead of 1,369. LayerScale, class token and the patches' bias went into other numbers; the
    # mask token is left out.
    "dinov2_small": (768, 22_056_576 - 384 * (1_369 - 4) - 384 * (2 * 12 + 3)),
    "dinov2_base": (1536, 86_580_480 - 768 * (1_369 - 4) - 768 * (2 * 12 + 3)),
    "rad_dino": (1536, 86_580_480 - 768 * (1_369 - 4) - 768 * (2 * 12 + 3)),
}


def keras_preprocessing(module: str, films: np.ndarray) -> np.ndarray:
    """What keras.applications does to films before a network sees them, as red, green, blue."""
    prepared = getattr(keras.applications, module).preprocess_input(films.copy())
    return prepared[..., ::-1] if module in ("resnet50", "vgg16") else prepared


def keras_first_layers(name: str, films: np.ndarray) -> np.ndarray:
    """What keras.applications does to films inside a network, where it does it there."""
    network = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(32, 32, 3),
                                                include_preprocessing=True)
    first = next(layer for layer in network.layers if layer.weights or isinstance(layer, keras.Sequential))
    return np.asarray(keras.Model(network.input, first.input)(films))


def torchvision_preprocessing(_: str, films: np.ndarray) -> np.ndarray:
    return (films / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]


EXPECTED = {
    "inception_v3": (keras_preprocessing, "inception_v3"), "xception": (keras_preprocessing, "xception"),
    "resnet50": (keras_preprocessing, "resnet50"), "resnet101": (keras_preprocessing, "resnet50"),
    "resnet152": (keras_preprocessing, "resnet50"), "vgg16": (keras_preprocessing, "vgg16"),
    "densenet121": (keras_preprocessing, "densenet"),
    "mobilenet_v3_large": (lambda _, films: films / 127.5 - 1, ""),  # as in their published graphs
    "mobilenet_v3_small": (lambda _, films: films / 127.5 - 1, ""),
    "efficientnet_v2_b0": (keras_first_layers, "EfficientNetV2B0"),
    "efficientnet_v2_s": (lambda _, films: (films - 128) / 128, ""),
    "convnext_tiny": (keras_first_layers, "ConvNeXtTiny"),
    "resnet18": (torchvision_preprocessing, ""), "resnet34": (torchvision_preprocessing, ""),
    **{f"efficientnet_lite{number}": (lambda _, films: (films - 127) / 128, "") for number in range(3)},
    "densenet121_xrv": (lambda _, films: (2 * films / 255 - 1) * 1024, ""),
    "dinov2_small": (torchvision_preprocessing, ""), "dinov2_base": (torchvision_preprocessing, ""),
    "rad_dino": (lambda _, films: (films / 255 - 0.5307) / 0.2583, ""),
    "vgg16_dwsep": (lambda _, films: keras_preprocessing("vgg16", films) / 127.5, ""),
}


def test_every_row_has_an_expectation_here() -> None:
    assert set(EXPECTED) == set(BACKBONES) == {*PUBLISHED, "vgg16_dwsep"}


def test_the_last_map_is_one_of_places_and_published_channels(
        backbone: Backbone, lived_in: keras.Model) -> None:
    assert lived_in.input_shape == (None, backbone.smallest, backbone.smallest, 3)
    _, height, width, channels = lived_in.output_shape  # four axes: a heat map can be drawn from it
    assert height == width > 0
    if backbone.name in PUBLISHED:
        assert (channels, lived_in.count_params()) == PUBLISHED[backbone.name]


def test_films_are_scaled_inside_as_the_network_was_trained(
        backbone: Backbone, lived_in: keras.Model) -> None:
    compute, name = EXPECTED[backbone.name]
    films = np.random.default_rng(3).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    scaled = np.asarray(lived_in.get_layer("scaling")(films))
    wanted = compute(name, films)
    np.testing.assert_allclose(scaled, wanted, atol=max(1e-4, 1e-6 * np.abs(wanted).max()))


def test_its_json_names_built_in_layers_alone(lived_in: keras.Model) -> None:
    described = json.loads(lived_in.to_json())["config"]["layers"]
    assert len(described) == len(lived_in.layers)
    assert {(layer["module"], layer["registered_name"]) for layer in described} == {("keras.layers", None)}


@pytest.mark.usefixtures("one_of_a_family")
def test_it_comes_back_from_json_and_computes_the_same(lived_in: keras.Model, films: np.ndarray) -> None:
    again = keras.models.model_from_json(lived_in.to_json(), custom_objects={})
    again.set_weights(lived_in.get_weights())
    np.testing.assert_allclose(np.asarray(again(films)), np.asarray(lived_in(films)), rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("one_of_a_family")
def test_it_can_be_built_and_run_in_mixed_precision(
        backbone: Backbone, lived_in: keras.Model, films: np.ndarray) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build_backbone(backbone, backbone.smallest)
    finally:
        keras.config.set_dtype_policy(before)
    network.set_weights(lived_in.get_weights())
    assert {variable.dtype for variable in network.weights} == {"float32"}
    assert np.isfinite(np.asarray(network(films), "float32")).all()
    found, wanted = (np.asarray(pooled_features(one, backbone.taps[:1])(films), "float32").ravel()
                     for one in (network, lived_in))
    assert np.corrcoef(found, wanted)[0, 1] > 0.98  # eight bits, layer after layer


def layers_above(network: keras.Model, cut: str) -> set[str]:
    """Layers on the ways from the last map down to the cut; a way past the cut ends at the films."""
    seen, waiting = set[str](), [network.output]
    while waiting:
        layer = waiting.pop()._keras_history.operation
        if layer.name not in seen and layer.name != cut:
            seen.add(layer.name)
            waiting += keras.tree.flatten(layer.input) if layer._inbound_nodes[0].parent_nodes else []
    return seen


def test_everything_above_the_cut_depends_on_it_alone(backbone: Backbone, lived_in: keras.Model) -> None:
    above = layers_above(lived_in, backbone.cut)
    assert "films" not in above
    weights = sum(layer.count_params() for layer in lived_in.layers if layer.name in above)
    assert 0.1 < weights / lived_in.count_params() < 0.8  # the last blocks: few layers, many weights
    assert len(above) < 0.4 * len(lived_in.layers)


def test_its_taps_lie_deeper_and_deeper_and_nothing_behind_the_last_is_kept(
        backbone: Backbone, lived_in: keras.Model) -> None:
    names = [layer.name for layer in lived_in.layers]
    depths = [names.index(tap) for tap in backbone.taps]
    assert depths == sorted(depths)
    described = pooled_features(lived_in, backbone.taps)
    kept = {layer.name for layer in described.layers} & set(names)
    assert set(backbone.taps) <= kept <= set(names[: depths[-1] + 1])


def test_its_constant_layers_exist_and_only_a_partial_file_needs_them(
        backbone: Backbone, lived_in: keras.Model) -> None:
    assert all(lived_in.get_layer(name).weights for name in backbone.constant)
    assert backbone.partial == bool(backbone.constant) == (backbone.name == "vgg16_dwsep")


def test_its_weights_file_has_a_hash_and_a_place_to_come_from(backbone: Backbone) -> None:
    algorithm, _, digits = backbone.weights.hash.partition(":")
    assert len(digits) in {"md5": {32}, "sha256": {8, 64}}[algorithm]
    assert int(digits, 16) > 0
    file = backbone.weights.name.rpartition("/")[2]
    assert backbone.weights.url.endswith(f"/{file}") or backbone.weights.package


def test_a_side_below_its_smallest_is_refused_before_keras_fails(backbone: Backbone) -> None:
    with pytest.raises(OptionError, match=f"needs films of at least {backbone.smallest} pixels"):
        build_backbone(backbone, backbone.smallest - 1)


@pytest.mark.parametrize("name", ["", "resnet"])
def test_a_name_that_is_not_in_the_table_is_answered_with_those_that_are(name: str) -> None:
    with pytest.raises(OptionError, match=r"Choose one of: inception_v3, resnet50, .*, vgg16_dwsep\.$"):
        get_backbone(name)


def test_a_name_gives_its_row() -> None:
    assert all(get_backbone(name) is row and row.name == name for name, row in BACKBONES.items())


FILMS = np.random.default_rng(5).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


def prepared(module: str) -> np.ndarray:
    return getattr(keras.applications, module).preprocess_input(FILMS.copy())


CASES: Mapping[str, tuple[str, dict[str, bool], np.ndarray]] = {
    "mobilenet_v3_small": ("MobileNetV3Small", {"include_preprocessing": True}, FILMS),
    "mobilenet_v3_large": ("MobileNetV3Large", {"include_preprocessing": True}, FILMS),
    "convnext_tiny": ("ConvNeXtTiny", {"include_preprocessing": True}, FILMS),
    "vgg16": ("VGG16", {}, prepared("vgg16")),
    "resnet50": ("ResNet50", {}, prepared("resnet50")),
}


def randomised(model: keras.Model) -> keras.Model:
    """Every variable random, so that none of them could be mistaken for another; variances positive."""
    rng = np.random.default_rng(6)
    for variable in model.weights:
        fan = max(1, int(np.prod(variable.shape[:-1])))
        values = rng.normal(0, 1.4 / np.sqrt(fan), variable.shape) if len(variable.shape) > 1 \
            else rng.uniform(0.5, 1.5, variable.shape)
        variable.assign(values)
    return model


@pytest.mark.parametrize("name", CASES)
def test_the_same_file_gives_the_same_features(
        name: str, lived_in_networks: Mapping[str, keras.Model], tmp_path: Path,
        write_keras_file: Callable[[keras.Model, Path], Path]) -> None:
    constructor, options, inputs = CASES[name]
    keras_own = randomised(getattr(keras.applications, constructor)(
        include_top=False, weights=None, input_shape=(32, 32, 3), **options))
    path = write_keras_file(keras_own, tmp_path / "file.h5")
    network = lived_in_networks[name]
    before = network.get_weights()
    load_weights(network, BACKBONES[name], Weights(path, "given path", ""))
    found, wanted = np.asarray(network(FILMS)), np.asarray(keras_own(inputs))
    network.set_weights(before)
    assert wanted.std() > 0
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert network.count_params() == keras_own.count_params()
