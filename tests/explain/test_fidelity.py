from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import auc

from pneumo_tf.errors import FilmError
from pneumo_tf.explain.fidelity import (
    Curve,
    deletion,
    insertion,
    mass_inside,
    near,
    points_inside,
    stability,
    verdict,
)
from pneumo_tf.explain.lime import LimeOptions, explain_by_lime

WEIGHTS = np.array([2.5, -1.5, 1.0, 0.6, -0.4, *[0.0] * 11])
LINEAR = LimeOptions(samples=400, surrogate="ridge", answers="log_odds", strength=1e6)


def test_the_true_map_deletes_fastest_and_inserts_fastest(tiled_film, tiles, network_of):
    network = network_of(WEIGHTS)
    maps = {"true": WEIGHTS[tiles], "upside down": -WEIGHTS[tiles],
            "random": np.random.default_rng(0).normal(size=16)[tiles]}
    deleted = {name: deletion(tiled_film, values, network, explained=1, absent="zero")
               for name, values in maps.items()}
    inserted = {name: insertion(tiled_film, values, network, explained=1, absent="zero")
                for name, values in maps.items()}
    for measure in ("area", "log_odds"):
        down, up = ({name: getattr(curve, measure) for name, curve in curves.items()}
                    for curves in (deleted, inserted))
        assert down["true"] < down["random"] < down["upside down"]
        assert up["true"] > up["random"] > up["upside down"]


def test_curves_begin_and_end_with_the_whole_and_the_empty_film(tiled_film, tiles, network_of):
    network = network_of(WEIGHTS)
    whole, empty = network(np.stack([tiled_film, np.zeros_like(tiled_film)]))[:, 1]
    down = deletion(tiled_film, WEIGHTS[tiles], network, explained=1, absent="zero", steps=16)
    up = insertion(tiled_film, WEIGHTS[tiles], network, explained=1, absent="zero", steps=16)
    assert down.scores[[0, -1]] == pytest.approx([whole, empty])
    assert up.scores[[0, -1]] == pytest.approx([empty, whole])
    assert down.area == pytest.approx(auc(down.shares, down.scores))
    assert down.scores[1] == pytest.approx(network_of(WEIGHTS - np.eye(16)[0] * 2.5)(tiled_film[None])[0, 1])


def test_curves_of_a_network_that_always_answers_the_same_are_flat(tiled_film, tiles, network_of):
    curve = deletion(tiled_film, WEIGHTS[tiles], network_of(np.zeros(16)), explained=1)
    assert curve.area == pytest.approx(0.5)
    assert curve.log_odds == pytest.approx(0)


def test_a_map_of_another_size_is_refused(tiled_film, network_of):
    with pytest.raises(FilmError, match=r"\(4, 4\) for a film \(32, 32\)"):
        deletion(tiled_film, np.zeros((4, 4)), network_of(WEIGHTS), explained=1)


def test_stability_is_spearmans_and_the_overlap_of_the_first_five():
    rng = np.random.default_rng(0)
    first = rng.normal(size=20)
    others = [first + rng.normal(0, noise, 20) for noise in (0.1, 1.0)]
    found = stability([first, *others])
    pairs = [(first, others[0]), (first, others[1]), (others[0], others[1])]
    assert found.spearman == pytest.approx(np.mean([spearmanr(*pair)[0] for pair in pairs]))
    assert stability([first, first]).spearman == pytest.approx(1)
    assert stability([first, first]).overlap == 1
    assert stability([first, -first]).spearman == pytest.approx(-1)
    assert stability([np.arange(1.0, 11), np.arange(10.0, 0, -1)]).overlap == 0


def test_stability_of_empty_explanations_is_none_at_all():
    assert stability([np.zeros(9), np.zeros(9)]).spearman == 0


def test_an_explanation_is_shown_only_if_it_is_steady_and_faithful(tiled_film, tiles, network_of):
    def judged(network, options):
        return verdict(explain_by_lime(tiled_film, tiles, network, explained=1, options=options))

    rng = np.random.default_rng(0)
    noise = network_of(lambda present: rng.normal(size=len(present)))
    together = network_of(lambda present: 4.0 * (present[:, 0] ^ present[:, 1]) + present @ (WEIGHTS / 2))
    assert judged(network_of(WEIGHTS), LINEAR) == "shown"
    assert judged(noise, LINEAR) == "unstable"
    assert judged(network_of(np.zeros(16)), LINEAR) == "constant"
    assert judged(together, replace(LINEAR, samples=20_000)) == "unfaithful"


@pytest.fixture
def lesion():
    mask = np.zeros((60, 60), bool)
    mask[10:20, 30:40] = True
    return mask


def test_the_pointing_game_is_won_inside_the_lesion_or_close_to_it(lesion):
    def pointing_at(row, column):
        values = np.full((60, 60), -1.0)
        values[row, column] = 0.5
        return values

    assert points_inside(pointing_at(12, 35), lesion)
    assert points_inside(pointing_at(22, 35), lesion)       # 3 pixels off; 4 are allowed
    assert not points_inside(pointing_at(22, 35), lesion, tolerance=0.0)
    assert not points_inside(pointing_at(40, 35), lesion)
    assert not points_inside(np.full((60, 60), -1.0), lesion)


def test_of_a_plateau_the_middle_points(lesion):
    values = np.zeros((60, 60))
    values[5:25, 25:45] = 1
    assert points_inside(values, lesion, tolerance=0)
    values[:, 25:45] = 1
    assert not points_inside(values, lesion)


def test_a_blind_guess_wins_as_often_as_the_lesion_and_its_surround_cover_the_film(lesion):
    rng = np.random.default_rng(0)
    won = np.mean([points_inside(rng.random((60, 60)), lesion) for _ in range(3000)])
    assert won == pytest.approx(near(lesion).mean(), abs=0.02)
    assert not near(np.zeros((9, 9), bool)).any()


def test_mass_counts_only_what_speaks_for_the_class(lesion):
    values = np.where(lesion, 1.0, -5.0)
    assert mass_inside(values, lesion) == 1
    assert mass_inside(np.ones((60, 60)), lesion) == pytest.approx(lesion.mean())
    assert mass_inside(-np.ones((60, 60)), lesion) is None


def test_areas_are_those_of_the_trapezoids():
    curve = Curve(np.array([0, 0.5, 1.0]), np.array([1.0, 0.5, 0.5]))
    assert curve.area == pytest.approx(0.625)
