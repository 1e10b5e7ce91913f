from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.explain.lime import LimeOptions
from pneumo_tf.explain.methods import METHODS, Explainer, Finding, occlusion_map, scaled
from pneumo_tf.explain.network import Network, scorer_of
from pneumo_tf.training.engine import build_engine

OPTIONS = LimeOptions(samples=128, surrogate="ridge", answers="log_odds")


@pytest.fixture(scope="module")
def explainer():
    """A network that sums the red of the upper left quarter against the rest of the film."""
    films = keras.Input((32, 32, 3))
    x = layers.AveragePooling2D(4)(layers.Rescaling(1 / 255)(films))
    x = layers.Flatten()(x)
    dense = layers.Dense(2, activation="softmax")
    model = keras.Model(films, dense(x))
    kernel = np.zeros((8, 8, 3, 2), np.float32)
    kernel[:4, :4, 0, 1] = 0.5
    kernel[4:, 4:, 0, 1] = -0.5
    dense.set_weights([kernel.reshape(-1, 2), np.zeros(2, np.float32)])
    scorer = scorer_of(build_engine(model, "keras", threads=1))
    network = Network(model, ("no", "yes"), lambda path: None, lambda scores: scores.argmax(axis=1),
                      exact=scorer, quick=scorer)
    return Explainer(network, options=OPTIONS, count=16)


@pytest.fixture(scope="module")
def film(tiled_film):
    """Tiles of all shades, those of the upper left quarter brighter than the rest."""
    brighter = tiled_film // 2
    brighter[:16, :16] += 110
    return brighter


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"lime-colour", "gradcam"}))
def test_every_method_finds_the_quarter_that_speaks_for_the_class(explainer, film, method):
    """Grad-CAM averages gradients over places, which tells a Flatten head nothing of where."""
    lesion = np.zeros((32, 32), bool)
    lesion[:16, :16] = True
    found = explainer.explain(film, method, explained=1, lesion=lesion)
    assert found.verdict == "shown"
    assert found.values.shape == (32, 32)
    assert np.abs(found.values).max() == pytest.approx(1)
    assert found.numbers["points_inside"]
    assert found.numbers["mass_inside"] > 2 * found.numbers["lesion_share"]
    opposite = explainer.explain(film, method, explained=0).values
    assert opposite[:16, :16].mean() < 0


@pytest.mark.parametrize(("lungs", "beside"), [(np.s_[:16, :16], False), (np.s_[:16, 16:], True)])
def test_the_share_of_a_map_in_the_lungs_is_told_with_a_caution_where_it_is_small(explainer, film, lungs,
                                                                                  beside):
    mask = np.zeros((32, 32), bool)
    mask[lungs] = True
    numbers = explainer.explain(film, "occlusion", explained=1, lungs=mask).numbers
    assert numbers["lungs_share"] == 0.25
    assert numbers["beside_lungs"] is beside
    assert (numbers["mass_in_lungs"] < 0.25) is beside
    assert "mass_in_lungs" not in explainer.explain(film, "occlusion", explained=1).numbers


def test_lime_says_how_far_it_can_be_believed(explainer, film):
    numbers = explainer.explain(film, "lime-slic", explained=1).numbers
    assert numbers["r2"] > 0.9
    assert numbers["halves_spearman"] > 0.8
    assert numbers["samples"] == 128
    assert numbers["first"][0]["weight"] != 0


def test_only_perturbed_films_are_scored_by_the_quick_network(explainer, film):
    """The class and the score of a film are the exact network's, whatever rounding the quick one does."""
    perturbed = []

    def rounding(films):
        perturbed.extend(films)
        return 1 - np.asarray(explainer.network.exact(films))

    network = replace(explainer.network, quick=rounding)
    other = Explainer(network, options=OPTIONS, count=16)
    called, scores = other.called(film)
    assert (called, scores.tolist()) == (explainer.called(film)[0], explainer.called(film)[1].tolist())
    assert perturbed == []
    for method in ("lime-slic", "occlusion"):
        theirs, ours = (each.explain(film, method, explained=1).values for each in (other, explainer))
        np.testing.assert_allclose(theirs, -ours, atol=1e-3)
    assert len(perturbed) > 128


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shade", [0, 90, 255])
def test_a_blank_film_is_said_to_be_without_content(explainer, method, shade):
    found = explainer.explain(np.full((32, 32, 3), shade, np.uint8), method, explained=1)
    assert found.verdict == "blank"
    assert not found.values.any()


@pytest.mark.parametrize("value", [-2.0, 0.0, 3.0])
def test_a_map_of_one_value_is_said_to_be_without_content(explainer, film, monkeypatch, value):
    flat = np.full((32, 32), value, np.float32)
    monkeypatch.setitem(METHODS, "gradcam", lambda *_: Finding(flat))
    assert explainer.explain(film, "gradcam", explained=1).verdict == "constant"


def test_a_map_is_scaled_to_its_largest_size():
    np.testing.assert_allclose(scaled(np.array([[1.0, -4.0]])), [[0.25, -1]])
    assert not scaled(np.zeros((2, 2))).any()


def test_films_of_another_size_and_unknown_methods_are_refused(explainer, film):
    with pytest.raises(FilmError, match=r"\(16, 32, 3\) where \(32, 32, 3\) is needed"):
        explainer.called(film[:16])
    with pytest.raises(FilmError, match="size of the network's input"):
        explainer.explain(film[:16], "gradcam", explained=1)
    with pytest.raises(OptionError, match="gradcam, occlusion"):
        explainer.explain(film, "shap", explained=1)


WEIGHTS = np.array([0, 0, 0, 0, 0, 2.0, 0, 0, 0, 0, -1.0, 0, 0, 0, 0, 0])



def test_covering_a_tile_costs_its_weight(tiled_film, tiles, network_of):
    """With patches of a tile's size side by side, the map is the weights themselves."""
    found = occlusion_map(tiled_film, network_of(WEIGHTS), explained=1, patch=0.25, step=1.0, absent="zero")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, WEIGHTS[tiles], atol=1e-3)
    other = occlusion_map(tiled_film, network_of(WEIGHTS), explained=0, patch=0.25, step=1.0, absent="zero")
    np.testing.assert_allclose(other, -found, atol=1e-3)


def test_overlapping_patches_are_averaged_and_every_pixel_is_covered(tiled_film, network_of):
    found = occlusion_map(tiled_film, network_of(WEIGHTS), explained=1, patch=0.3, step=0.4, absent="zero")
    assert np.isfinite(found).all()
    assert found[8, 8] > 0.9 * found.max()  # the pixels that tell the network of tiles 5 and 10
    assert found[16, 16] < 0.5 * found.min() < 0


def test_a_film_that_is_no_square_is_covered_to_its_edges():
    film = np.full((20, 33, 3), 99, np.uint8)

    def scorer(films):
        dark = (films[:, -1, -1, 0] == 0).astype(np.float32)
        return np.stack([dark, 1 - dark], axis=1)

    found = occlusion_map(film, scorer, explained=1, patch=0.3, absent="zero")
    assert found.shape == (20, 33)
    assert found.argmax() == found.size - 1 or found[-1, -1] == found.max()


def test_a_network_that_always_answers_the_same_leaves_an_empty_map(tiled_film, network_of):
    assert not occlusion_map(tiled_film, network_of(np.zeros(16), 40.0), explained=1).any()


def test_another_film_is_refused(network_of):
    with pytest.raises(FilmError, match="uint8"):
        occlusion_map(np.zeros((32, 32)), network_of(WEIGHTS), explained=1)
