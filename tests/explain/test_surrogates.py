import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from pneumo_tf.errors import OptionError
from pneumo_tf.explain.surrogates import SURROGATES, Samples, fit_surrogate, weighted_r2

TRUTH = np.array([3.0, -2.0, 1.0, 0.5, 0, 0, 0, 0, 0, 0])


@pytest.fixture(scope="module")
def presence():
    return np.random.default_rng(0).random((1500, 10)) < 0.5


@pytest.fixture(scope="module")
def closeness(presence):
    return np.exp(-((1 - np.sqrt(presence.mean(axis=1))) ** 2) / 0.25**2)


def probabilities(presence):
    return 1 / (1 + np.exp(-(presence @ TRUTH - 1)))


def test_ridge_finds_the_weights_of_a_linear_network(presence, closeness):
    fitted = fit_surrogate("ridge", Samples(presence, presence @ TRUTH + 2, closeness), strength=1e6)
    np.testing.assert_allclose(fitted.weights, TRUTH, atol=1e-4)
    assert fitted.r2 == pytest.approx(1)


def test_logistic_finds_the_weights_of_a_logistic_network_from_its_probabilities(presence, closeness):
    fitted = fit_surrogate("logistic", Samples(presence, probabilities(presence), closeness), strength=1e8)
    np.testing.assert_allclose(fitted.weights, TRUTH, atol=0.02)


def test_logistic_of_yes_and_no_is_scikit_learns(presence, closeness):
    yes = probabilities(presence) > 0.5
    ours = fit_surrogate("logistic", Samples(presence, yes.astype(float), closeness), strength=0.3)
    theirs = LogisticRegression(C=0.3, max_iter=500).fit(presence, yes, closeness)
    np.testing.assert_allclose(ours.weights, theirs.coef_[0], atol=1e-3)


def test_a_fractional_answer_is_that_share_of_a_yes(presence, closeness):
    """Equation 2 of the assignment, minimised by hand at one weight."""
    samples = Samples(presence, probabilities(presence), closeness)
    fitted = fit_surrogate("logistic", samples, strength=1e8)

    def likelihood(weights, intercept):
        g = 1 / (1 + np.exp(-(presence @ weights + intercept)))
        f = samples.answers
        return (closeness * (f * np.log(g) + (1 - f) * np.log(1 - g))).sum()

    best = likelihood(fitted.weights, -1.0)
    for change in (-0.3, 0.3):
        assert likelihood(fitted.weights + change * np.eye(10)[0], -1.0) < best


@pytest.mark.parametrize("kind", SURROGATES)
@pytest.mark.parametrize("keep", [1, 2, 4])
def test_complexity_keeps_the_superpixels_that_matter_most(presence, closeness, kind, keep):
    answers = probabilities(presence) if kind == "logistic" else presence @ TRUTH
    fitted = fit_surrogate(kind, Samples(presence, answers, closeness), keep=keep)
    assert set(np.flatnonzero(fitted.weights)) == set(range(keep))
    assert (np.sign(fitted.weights[:keep]) == np.sign(TRUTH[:keep])).all()


def test_a_tree_sees_what_a_linear_model_cannot(presence, closeness):
    either = (presence[:, 0] ^ presence[:, 1]).astype(float)
    tree, ridge = (fit_surrogate(kind, Samples(presence, either, closeness)) for kind in ("tree", "ridge"))
    assert tree.r2 > 0.95 > 0.2 > ridge.r2


def test_close_films_count_more(presence):
    """Two networks, one near the film and one far from it: the kernel decides which is imitated."""
    near = presence.mean(axis=1) > 0.5
    answers = np.where(near, presence[:, 0], presence[:, 1]).astype(float)
    weights = fit_surrogate("ridge", Samples(presence, answers, np.where(near, 1.0, 1e-6))).weights
    assert weights[0] > 0.9
    assert abs(weights[1]) < 0.1


@pytest.mark.parametrize("kind", SURROGATES)
def test_answers_that_never_change_are_said_and_not_divided_by(presence, closeness, kind):
    fitted = fit_surrogate(kind, Samples(presence, np.ones(len(presence)), closeness), keep=3)
    assert fitted.r2 is None
    assert not fitted.weights.any()


def test_agreement_is_scikit_learns(presence, closeness):
    answers = presence @ TRUTH + np.random.default_rng(1).normal(size=len(presence))
    model = Ridge(alpha=1.0).fit(presence, answers, closeness)
    ours = weighted_r2(Samples(presence, answers, closeness), model.predict(presence))
    assert ours == pytest.approx(model.score(presence, answers, closeness))


def test_options_without_meaning_are_refused(presence, closeness):
    samples = Samples(presence, presence @ TRUTH, closeness)
    with pytest.raises(OptionError, match="logistic, ridge, tree"):
        fit_surrogate("forest", samples)
    with pytest.raises(OptionError, match="at least one superpixel"):
        fit_surrogate("ridge", samples, keep=0)
