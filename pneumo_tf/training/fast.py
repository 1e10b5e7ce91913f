"""The recipes `fast` and `ensemble`: frozen backbones run once, and linear heads on their features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import keras
import numpy as np
from keras import layers
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils import gen_batches

from pneumo_tf.data.patients import owner
from pneumo_tf.evaluation.operating_point import DEFAULT
from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import build_backbone, linear_classifier, pooled_features
from pneumo_tf.models.heads import OUTPUT
from pneumo_tf.models.weights.pretrained import Weights, load_weights
from pneumo_tf.progress import announce
from pneumo_tf.training.engine import Engine
from pneumo_tf.training.linear_head import Features, LinearHead, Vectors, fit_linear_head
from pneumo_tf.training.loop import Row
from pneumo_tf.training.task import Task, Trained
from pneumo_tf.training.trunk import Activations, film_activations

_FEW = 100  # films of a class, below which validation alone is too small to fix a threshold
_FOLDS = 5
_IN_MEMORY = 2**31  # bytes of features; more are read from disk in every pass, or spread over a cluster
_PART = 4096  # films whose features are read at a time


@dataclass(frozen=True, slots=True)
class Extracted:
    """The features that a frozen backbone computes from the films of a task.

    Attributes:
        network: Films to features.
        engine: Which computes it.
        films: (N, D), of every film.
        views: (N, views, D), of the training films' views.
    """

    network: keras.Model
    engine: Engine
    films: Activations
    views: Activations

    def training(self, rows: np.ndarray, labels: np.ndarray) -> Vectors:
        """The features of some training films, whose labels (n,) are given, and of their views."""
        return FilmsAndViews(self.films, self.views, rows, labels).settled()

    def scores(self, head: LinearHead) -> np.ndarray:
        """float32 (N, K): what a head says of every film."""
        rows = np.arange(len(self.films))
        return np.concatenate([head.scores(self.films.gather(rows[part]))
                               for part in gen_batches(len(rows), _PART)])


@dataclass(frozen=True)
class FilmsAndViews:
    """The features of films, each followed by its views, read from where they are kept.

    Attributes:
        rows: int (n,), the films.
        of_films: int (n,), their labels.
    """

    films: Activations
    views: Activations
    rows: np.ndarray
    of_films: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        return np.repeat(self.of_films, 1 + self.views.store.shape[1])

    def settled(self) -> Vectors:
        """In memory, where that has room for them."""
        size = len(self.labels) * self.films.store.shape[1] * 4
        return self if size > _IN_MEMORY else self._read(slice(None))

    def parts(self) -> Iterator[Features]:
        return map(self._read, gen_batches(len(self.rows), _PART))

    def shares(self, count: int) -> list[Callable[[], Vectors]]:
        pieces = zip(*(np.array_split(column, count) for column in (self.rows, self.of_films)), strict=True)
        return [replace(self, rows=rows, of_films=labels).settled for rows, labels in pieces if len(rows)]

    def _read(self, part: slice) -> Features:
        rows, (views, size) = self.rows[part], self.views.store.shape[1:]
        vectors = np.empty((len(rows), 1 + views, size), "float32")
        vectors[:, 0] = self.films.gather(rows)
        self.views.gather(rows, out=vectors[:, 1:])
        return Features(vectors.reshape(-1, size), np.repeat(self.of_films[part], 1 + views))


@dataclass(frozen=True, slots=True)
class Fast:
    """Frozen backbone, pooled features of several depths, a strongly regularised softmax layer.

    It holds up best on films from elsewhere: fine-tuning raises the figures on one's own films and was
    measured to lower those on other people's. The views matter as much: on moved, blurred and recompressed
    test films (EfficientNet-Lite0, 5,164 films) the head's specificity was 0.97, that of a head trained on
    clean films alone 0.65.

    Attributes:
        views: Augmented views of each training film, beside the film itself.
        penalty: L2 penalty of the head relative to its mean loss; with 0.14 and two classes it equals
            scikit-learn's C = 1e-3 at 14,000 vectors, the strength that held up best on independent films.
        patience: Iterations without a better validation loss until the head stops.
        augment: Preset that views are drawn from.
    """

    backbone: ClassVar[str] = "inception_v3"
    epochs: ClassVar[int] = 60
    rule: ClassVar[str] = DEFAULT

    views: int = 3
    penalty: float = 0.14
    patience: int = 8
    augment: str = "films"

    def train(self, task: Task) -> Trained:
        """Run the backbone, fit the head, and put both into one graph."""
        extracted = self.extract(task, *task.members[0])
        announce("Head")
        features = extracted.films.gather(task.reference_rows()) if len(task.backbone.taps) > 1 else None
        return replace(self.fit(task, extracted), features=features)

    def extract(self, task: Task, backbone: Backbone, weights: Weights) -> Extracted:
        """The features of every film, and of the views of the training films."""
        announce("Network")
        with task.stages.measure("network"):
            whole = build_backbone(backbone, task.size)
            load_weights(whole, backbone, weights)
            network = pooled_features(whole, backbone.taps)
            engine = task.frozen(network)
        with task.stages.measure("features of films"):
            films = film_activations(engine, task.pixels, description="Films", cache=task.cache)
        with task.stages.measure("features of views"):
            views = task.train_views(engine, views=self.views, augment=self.augment)
        return Extracted(network, engine, films, views)

    def fit(self, task: Task, extracted: Extracted) -> Trained:
        """Fit a head on a backbone's features; the model is both in one graph."""
        with task.stages.measure("head"):
            head, history = self._fit(task, extracted, slice(None))
            held_out = self._cross_validate(task, extracted)
        model = linear_classifier(extracted.network, head.kernel, head.bias)
        return Trained(model=model, scores=extracted.scores(head), history=history, held_out=held_out,
                       score=lambda batch: head.scores(extracted.engine(batch)))

    def _fit(self, task: Task, extracted: Extracted,
             kept: np.ndarray | slice) -> tuple[LinearHead, list[Row]]:
        """Fit a head on some of the training films, by their place among them."""
        train, validation, labels = task.rows("train")[kept], task.rows("validation"), task.labels
        return fit_linear_head(
            extracted.training(train, labels[train]),
            Features(extracted.films.gather(validation), labels[validation]),
            class_weights=task.class_weights(), penalty=self.penalty, epochs=task.epochs,
            patience=self.patience)

    def _cross_validate(self, task: Task, extracted: Extracted) -> dict[int, np.ndarray]:
        """Scores of training films by heads that never saw the film's patient.

        Only where validation has few films of a class: an operating point fixed on a dozen of them would
        swing with each one. Nothing but the head is learnt, so the folds cost seconds.
        """
        if np.bincount(task.labels[task.rows("validation")]).min() >= _FEW:
            return {}
        train = task.rows("train")
        patients, labels = np.array([owner(film) for film in task.cohort])[train], task.labels[train]
        patients_per_class = [len(set(patients[labels == index])) for index in range(len(task.classes))]
        folds = min(_FOLDS, *patients_per_class)
        if folds < 2:
            return {}
        parts = StratifiedGroupKFold(folds, shuffle=True, random_state=task.seed)
        scores: dict[int, np.ndarray] = {}
        for kept, left_out in parts.split(train, labels, patients):
            head, _ = self._fit(task, extracted, kept)
            rows = train[left_out]
            scores.update(zip(rows.tolist(), head.scores(extracted.films.gather(rows)), strict=True))
        return scores


_FAST = Fast()


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """`fast` on two or three backbones, each with its own head; the mean of their scores.

    All members see the films at the task's size. Averaging three frozen backbones raised the AUC on the
    independent test films of the children's set where fine-tuning lowered it.

    Attributes:
        views: Augmented views of each training film; None takes what each backbone's cost allows.
        penalty, patience, augment: As in `fast`.
    """

    backbone: ClassVar[str] = "inception_v3+efficientnet_lite0"
    epochs: ClassVar[int] = Fast.epochs
    rule: ClassVar[str] = Fast.rule

    views: int | None = None
    penalty: float = _FAST.penalty
    patience: int = _FAST.patience
    augment: str = _FAST.augment

    def train(self, task: Task) -> Trained:
        """Train each member by itself and average."""
        parts = []
        for member in task.members:
            views = member.backbone.views if self.views is None else self.views
            recipe = Fast(views=views, penalty=self.penalty, patience=self.patience, augment=self.augment)
            parts.append(recipe.train(replace(task, members=(member,))))
        names = [member.backbone.name for member in task.members]
        history = [{**row, "phase": name} for name, part in zip(names, parts, strict=True)
                   for row in part.history]
        common = set.intersection(*(set(part.held_out) for part in parts))
        features = [part.features for part in parts if part.features is not None]
        return Trained(model=average([part.model for part in parts], names),
                       scores=np.mean([part.scores for part in parts], axis=0),
                       history=[{**row, "epoch": number} for number, row in enumerate(history, start=1)],
                       held_out={row: np.mean([part.held_out[row] for part in parts], axis=0)
                                 for row in sorted(common)},
                       score=lambda films: np.mean([part.score(films) for part in parts if part.score],
                                                   axis=0),
                       features=np.concatenate(features, axis=1) if len(features) == len(parts) else None)


def average(models: Sequence[keras.Model], names: Sequence[str]) -> keras.Model:
    """Several functional classifiers of the same films as one flat graph that gives the mean of their scores.

    Each model's layer names get one of `names` as a prefix, because they would clash otherwise.
    """
    films = keras.Input(models[0].input_shape[1:], name="films")
    scores = [_renamed(model, name, films) for model, name in zip(models, names, strict=True)]
    return keras.Model(films, layers.Average(dtype="float32", name=OUTPUT)(scores), name="ensemble")


def _renamed(model: keras.Model, name: str, films: keras.KerasTensor) -> keras.KerasTensor:
    """The outputs of a copy on `films`, the names of its layers prefixed with `name`."""

    def rebuild(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        return layer.__class__.from_config({**config, "name": f"{name}_{config['name']}"})

    copy = keras.models.clone_model(model, input_tensors=films, clone_function=rebuild)
    copy.set_weights(model.get_weights())
    return copy.output
