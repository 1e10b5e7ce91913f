import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.explain.scoring import network_scorer


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
    scores = network_scorer(model, engine=engine)(films)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, model(films), atol=1e-6)


def test_bfloat16_stays_close(model, engine):
    films = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    scores = network_scorer(model, bfloat16=True, engine=engine, threads=2)(films)
    np.testing.assert_allclose(scores, model(films), atol=0.01)


def test_a_network_from_a_file_is_scored_too(model, engine, tmp_path):
    model.save(tmp_path / "modelo.keras")
    loaded = keras.models.load_model(tmp_path / "modelo.keras", compile=False)
    films = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    np.testing.assert_allclose(network_scorer(loaded, engine=engine)(films), model(films), atol=1e-6)
