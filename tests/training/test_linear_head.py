"""The linear head against scikit-learn's logistic regression on standardised features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from pneumo_tf import cluster
from pneumo_tf.training.linear_head import Features, LinearHead, fit_linear_head

EVEN = {0: 1.0, 1: 1.0, 2: 1.0}
FOREVER = 10_000
Case = tuple[Features, Features]


def overlapping(classes: int, films: int, seed: int) -> Features:
    """Classes of unequal size that overlap, in features of very different scale and offset."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, films, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    vectors = rng.normal(size=(films, 8)) + 0.7 * np.random.default_rng(9).normal(size=(classes, 8))[labels]
    return Features(((vectors + 2) * 10.0 ** np.arange(-3, 5)).astype("float32"), labels)


@pytest.fixture(params=[2, 3], ids=["two classes", "three classes"])
def classes(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def overlapping_classes(classes: int) -> Case:
    return overlapping(classes, 300, 0), overlapping(classes, 100, 1)


@pytest.fixture
def three_overlapping() -> Case:
    return overlapping(3, 300, 0), overlapping(3, 100, 1)


@pytest.fixture
def misleading() -> Case:
    """Validation follows only the first of many features, so learning the others makes it worse."""
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(160, 40)).astype("float32")
    labels = (vectors[:, 0] + rng.normal(0, 1.5, 160) > 0).astype(int)
    return Features(vectors[:60], labels[:60]), Features(vectors[60:], labels[60:])


def scikit_learn(train: Features, *, penalty: float, class_weights: dict[int, float]) -> Pipeline:
    """Its C weighs the summed loss; with two classes it penalises one vector where softmax has two halves."""
    total = sum(class_weights[label] for label in train.labels)
    halves = 2 if len(class_weights) == 2 else 1
    model = LogisticRegression(C=halves / (penalty * total), class_weight=class_weights, max_iter=5000,
                               tol=1e-8)
    return make_pipeline(StandardScaler(), model).fit(train.vectors.astype("float64"), train.labels)


def labelled_by(model: Pipeline, vectors: np.ndarray, class_weights: dict[int, float]) -> Features:
    """Each vector 1,000 times, labelled as often as the model's probabilities (and the weights) say.

    By Gibbs' inequality no other probabilities have a smaller loss on them, so what is best on these films
    is what comes closest to the model.
    """
    shares = model.predict_proba(vectors) / np.array(list(class_weights.values()))
    counts = np.rint(1000 * shares / shares.sum(axis=1, keepdims=True)).astype(int)
    labels = [np.repeat(np.arange(len(class_weights)), row) for row in counts]
    return Features(np.repeat(vectors, counts.sum(axis=1), axis=0), np.concatenate(labels))


@pytest.mark.parametrize("penalty", [0.01, 0.5])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (5.0, 0.3, 1.0)], ids=["even", "uneven"])
def test_it_gives_the_probabilities_of_logistic_regression(
        overlapping_classes: Case, classes: int, penalty: float, weights: tuple[float, ...]) -> None:
    train, other = overlapping_classes
    class_weights = dict(enumerate(weights[:classes]))
    expected = scikit_learn(train, penalty=penalty, class_weights=class_weights)
    validation = labelled_by(expected, other.vectors[:20], class_weights)
    head, _ = fit_linear_head(train, validation, penalty=penalty,
                              class_weights=class_weights, epochs=500, patience=FOREVER)
    np.testing.assert_allclose(head.scores(other.vectors), expected.predict_proba(other.vectors), atol=2e-3)


def test_every_row_of_scores_sums_to_one(three_overlapping: Case) -> None:
    train, other = three_overlapping
    head, _ = fit_linear_head(train, other, class_weights=EVEN, penalty=0.1, epochs=20)
    assert (head.kernel.dtype, head.bias.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(head.scores(other.vectors).sum(axis=1), 1, rtol=1e-5)


def test_a_constant_feature_changes_nothing(three_overlapping: Case) -> None:
    train, other = three_overlapping

    def with_constant(features: Features) -> Features:
        constant = np.full((len(features.labels), 1), 123.0, "float32")
        return Features(np.hstack([features.vectors, constant]), features.labels)

    options = {"class_weights": EVEN, "penalty": 0.1, "epochs": 100, "patience": FOREVER}
    plain, _ = fit_linear_head(train, other, **options)
    padded, _ = fit_linear_head(with_constant(train), with_constant(other), **options)
    scores = padded.scores(with_constant(other).vectors)
    np.testing.assert_allclose(scores, plain.scores(other.vectors), atol=1e-3)


def test_it_stops_when_validation_gets_no_better_and_keeps_the_best(misleading: Case) -> None:
    train, validation = misleading
    even = {0: 1.0, 1: 1.0}
    head, history = fit_linear_head(train, validation, class_weights=even, penalty=1e-4, epochs=500,
                                    patience=3)
    losses = [row["val_loss"] for row in history]
    best = int(np.argmin(losses))
    assert len(history) == best + 1 + 3 < 500
    kept = log_loss(validation.labels, head.scores(validation.vectors))
    assert kept == pytest.approx(losses[best], rel=1e-5)
    assert losses[-1] > losses[best]


def test_each_epoch_leaves_its_figures(three_overlapping: Case) -> None:
    train, validation = three_overlapping
    weights = {0: 3.0, 1: 1.0, 2: 0.5}
    head, history = fit_linear_head(train, validation, class_weights=weights, penalty=0.1, epochs=3)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    for prefix, features in (("", train), ("val_", validation)):
        scores = head.scores(features.vectors)
        loss = log_loss(features.labels, scores, sample_weight=[weights[label] for label in features.labels])
        assert history[-1][f"{prefix}loss"] == pytest.approx(loss)
        assert history[-1][f"{prefix}accuracy"] == accuracy_score(features.labels, scores.argmax(axis=1))


def test_one_epoch_already_moves_the_head(three_overlapping: Case) -> None:
    head, history = fit_linear_head(*three_overlapping, class_weights=EVEN, penalty=0.1, epochs=1)
    assert len(history) == 1
    assert head.kernel.any()


def test_the_same_features_give_the_same_head(three_overlapping: Case) -> None:
    first, second = (fit_linear_head(*three_overlapping, class_weights=EVEN, penalty=0.1, epochs=20)[0]
                     for _ in range(2))
    np.testing.assert_array_equal(first.kernel, second.kernel)


def test_scores_are_sure_where_the_logits_are() -> None:
    head = LinearHead(np.array([[0.0, 1000.0]], "float32"), np.zeros(2, "float32"))
    np.testing.assert_array_equal(head.scores(np.array([[1.0], [0.0], [-1.0]], "float32")),
                                  [[0, 1], [0.5, 0.5], [1, 0]])


@dataclass(frozen=True)
class Piecemeal:
    """Features that are read seven at a time."""

    whole: Features

    @property
    def labels(self) -> np.ndarray:
        return self.whole.labels

    def parts(self) -> Iterator[Features]:
        for start in range(0, len(self.labels), 7):
            yield Features(self.whole.vectors[start : start + 7], self.labels[start : start + 7])

    def shares(self, count: int) -> list[Callable[[], Features]]:
        pieces = np.array_split(np.arange(len(self.labels)), count)
        return [partial(Features, self.whole.vectors[piece], self.labels[piece]) for piece in pieces]


@pytest.mark.parametrize("machines", [1, 3])
def test_features_in_parts_or_spread_over_machines_give_the_same_head(
        overlapping_classes: Case, classes: int, machines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def holding(makes: list[Callable[[], Features]]) -> Iterator[object]:
        held = [make() for make in makes]
        assert len(held) == machines
        yield lambda function: [function(part) for part in held]

    train, validation = overlapping_classes
    options = {"class_weights": {label: 1.0 + label for label in range(classes)}, "penalty": 0.1,
               "epochs": 60}
    whole, history = fit_linear_head(train, validation, **options)
    if machines > 1:
        for name, found in (("is_joined", lambda: True), ("cores", lambda: machines), ("holding", holding)):
            monkeypatch.setattr(cluster, name, found)
    spread, other_history = fit_linear_head(Piecemeal(train), validation, **options)
    for vectors in (train.vectors, validation.vectors):
        # float32's rounding of sums; with a network's features the scores are the same to 1e-6 (test_fast)
        np.testing.assert_allclose(spread.scores(vectors), whole.scores(vectors), atol=5e-6)
    assert abs(len(history) - len(other_history)) < 3
    for one, other in zip(history, other_history, strict=False):
        assert other == pytest.approx(one, abs=1e-5)
