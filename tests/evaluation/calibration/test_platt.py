import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_expit, logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from pneumo_tf.evaluation.calibration.calibrators import Line, Platt


def test_the_line_undoes_what_stretched_and_moved_the_scores(honest, sharpened):
    spoilt = sharpened(honest, 2.0, 1.0)  # logit = 2 · true + 1, so that true = logit / 2 − 1 / 2
    line, = Platt.fit(spoilt).lines
    assert line == pytest.approx((-0.5, 0.5), abs=0.06)
    assert np.abs(Platt.fit(spoilt).apply(spoilt).values - honest.values).max() < 0.03


def test_no_other_line_is_nearer_to_platts_softened_labels(noisy):
    scores = noisy(120)
    x, own = logit(np.clip(scores.positive_scores, 1e-7, 1 - 1e-7)), scores.labels == 1
    wanted = np.where(own, (own.sum() + 1) / (own.sum() + 2), 1 / ((~own).sum() + 2))

    def loss(line):
        found = line[0] + line[1] * x
        return -np.mean(wanted * log_expit(found) + (1 - wanted) * log_expit(-found))

    best = tuple(minimize(loss, [0, 1], tol=1e-10).x)
    assert tuple(Platt.fit(scores).lines[0]) == pytest.approx(best, abs=1e-3)


def test_the_probabilities_are_those_of_scikit_learns_sigmoid(noisy):
    scores = noisy(300)
    x = logit(np.clip(scores.positive_scores, 1e-7, 1 - 1e-7))[:, None]
    identity = LogisticRegression().fit(x, scores.labels)
    identity.coef_, identity.intercept_ = np.ones((1, 1)), np.zeros(1)
    theirs = CalibratedClassifierCV(FrozenEstimator(identity), method="sigmoid").fit(x, scores.labels)
    np.testing.assert_allclose(Platt.fit(scores).apply(scores).values, theirs.predict_proba(x), atol=2e-3)


def test_separated_films_leave_the_line_finite(scores_of):
    fitted = Platt.fit(scores_of([0] * 10 + [1] * 10, [0.1] * 10 + [0.9] * 10))
    # Where each side has one score, the line passes through Platt's labels themselves.
    assert fitted.apply(scores_of([0, 1], [0.1, 0.9])).positive_scores == pytest.approx([1 / 12, 11 / 12])


def test_scores_that_rank_the_wrong_way_round_are_left_alone(scores_of):
    fitted = Platt.fit(scores_of([1, 1, 0, 0, 1, 0], [0.1, 0.2, 0.8, 0.9, 0.3, 0.7]))
    assert (fitted.why, fitted.lines) == ("reversed", (Line(0.0, 1.0),))


def test_it_cannot_be_applied_to_another_number_of_classes(noisy, three_classes):
    with pytest.raises(ValueError, match="shorter"):
        Platt.fit(noisy(50)).apply(three_classes)
