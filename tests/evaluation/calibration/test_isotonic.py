import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from pneumo_tf.evaluation.calibration.calibrators import Isotonic


def test_the_curve_is_scikit_learns_on_other_films_too(noisy):
    fitted, other = noisy(150, seed=1), noisy(80, seed=2)
    theirs = IsotonicRegression(y_min=1 / 152, y_max=151 / 152, out_of_bounds="clip")
    theirs.fit(fitted.positive_scores, fitted.labels)
    found = Isotonic.fit(fitted).apply(other).positive_scores
    np.testing.assert_allclose(found, theirs.predict(other.positive_scores))


def test_it_follows_what_no_line_can(scores_of):
    generator = np.random.default_rng(0)
    score = generator.random(20_000)
    truth = np.where(score < 0.5, 0.2, 0.7)  # a step
    found = Isotonic.fit(scores_of((generator.random(20_000) < truth).astype(int), score))
    judged = found.apply(scores_of([0, 1], [0.3, 0.8])).positive_scores
    assert judged == pytest.approx([0.2, 0.7], abs=0.03)


def test_films_without_an_error_prove_no_certainty(scores_of):
    found = Isotonic.fit(scores_of([0] * 9 + [1] * 9, [0.1] * 9 + [0.9] * 9))
    probabilities = found.apply(scores_of([0, 1], [0.0, 1.0])).positive_scores
    assert probabilities == pytest.approx([1 / 20, 19 / 20])


def test_a_higher_score_never_gets_a_lower_probability(noisy):
    scores = noisy(300)
    found = Isotonic.fit(scores).apply(scores).positive_scores[np.argsort(scores.positive_scores)]
    assert (np.diff(found) >= 0).all()


def test_it_cannot_be_applied_to_another_number_of_classes(noisy, three_classes):
    with pytest.raises(ValueError, match="shorter"):
        Isotonic.fit(noisy(50)).apply(three_classes)
