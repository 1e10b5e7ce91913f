import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from pneumo_tf.errors import FilmError, WeightsError
from pneumo_tf.explain.network import imagenet_classes, imagenet_network, read_centre, scorer_of
from pneumo_tf.models.backbones import IMAGENET_DEVIATIONS, IMAGENET_MEANS
from pneumo_tf.training.engine import build_engine


def test_the_networks_scores_are_those_of_keras_inception_v3(tmp_path: Path, monkeypatch) -> None:
    """What the assignment normalises, its library's network takes back to [-1, 1]."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    keras.utils.set_random_seed(0)
    theirs = keras.applications.InceptionV3(weights=None)
    path = tmp_path / "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
        theirs.save(path)
    network = imagenet_network(path)
    image = np.random.default_rng(0).integers(0, 256, (1, 299, 299, 3)).astype(np.uint8)
    expected = theirs(image / np.float32(127.5) - 1)
    np.testing.assert_allclose(network.model(image), expected, rtol=1e-3, atol=1e-7)
    normalised = keras.Model(network.model.input, network.model.get_layer("normalised").output)(image)
    np.testing.assert_allclose(normalised, (image / 255 - IMAGENET_MEANS) / IMAGENET_DEVIATIONS, atol=1e-4)
    assert len(network.classes) == 1000
    with pytest.raises(WeightsError):
        imagenet_network(tmp_path / "nothing.h5")


def test_the_centre_is_cut_out_after_resizing(tmp_path: Path) -> None:
    image = np.zeros((400, 800, 3), np.uint8)
    image[:, 200:600] = 255  # the middle square
    Image.fromarray(image).save(tmp_path / "wide.png")
    read = read_centre(tmp_path / "wide.png")
    assert read.shape == (299, 299, 3)
    assert (read == 255).mean() > 0.99
    Image.fromarray(image[:20, :17]).save(tmp_path / "tiny.png")
    assert read_centre(tmp_path / "tiny.png").shape == (299, 299, 3)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dog.jpeg").write_text("a dog")
    with pytest.raises(FilmError, match="complete image"):
        read_centre(tmp_path / "dog.jpeg")


def test_classes_have_numbers_where_their_names_are_not_on_this_machine(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert imagenet_classes()[207] == "class 207"


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    films = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, 2, use_bias=False)(layers.Rescaling(1 / 255)(films))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    return keras.Model(films, layers.Dense(3, activation="softmax")(x))


@pytest.fixture(params=["keras", "openvino"])
def engine(request):
    if request.param == "openvino":
        pytest.importorskip("openvino")
        if keras.backend.backend() != "tensorflow":
            pytest.skip("OpenVINO takes its networks from TensorFlow")
    return request.param


@pytest.mark.parametrize("count", [1, 32, 33, 70])
def test_scores_are_the_networks_whatever_the_engine_and_the_number_of_films(model, engine, count):
    films = np.random.default_rng(count).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
    scores = scorer_of(build_engine(model, engine, threads=1))(films)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, model(films), atol=1e-6)


def test_bfloat16_stays_close(model, engine):
    films = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    scores = scorer_of(build_engine(model, engine, threads=2).coarse())(films)
    np.testing.assert_allclose(scores, model(films), atol=0.01)


def test_a_network_from_a_file_is_scored_too(model, engine, tmp_path):
    model.save(tmp_path / "modelo.keras")
    loaded = keras.models.load_model(tmp_path / "modelo.keras", compile=False)
    films = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    scores = scorer_of(build_engine(loaded, engine, threads=1))(films)
    np.testing.assert_allclose(scores, model(films), atol=1e-6)
