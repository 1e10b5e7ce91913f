"""Recipes that train a network in phases: which layers learn, for how long, at which rates.

`Phased` trains on films, `Top` the blocks above a cut on activations that are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, cast

import keras
import numpy as np

from pneumo_tf.errors import OptionError, check_known
from pneumo_tf.evaluation.operating_point import DEFAULT
from pneumo_tf.language import say
from pneumo_tf.models.classifier import (
    HEAD_GROUP,
    attach_head,
    build_backbone,
    depth_groups,
    unfreeze,
    with_features,
)
from pneumo_tf.models.folding import fold_batch_norm
from pneumo_tf.models.heads import HEADS
from pneumo_tf.models.weights.pretrained import load_weights
from pneumo_tf.progress import announce
from pneumo_tf.training import optimizers
from pneumo_tf.training.batches import ActivationBatches, FilmBatches, variant_of
from pneumo_tf.training.loop import EarlyStopping, Loop, LoopPhase
from pneumo_tf.training.optimizers import Rates
from pneumo_tf.training.rate_finder import find_rates, suggest
from pneumo_tf.training.task import Task, Trained
from pneumo_tf.training.trunk import BATCH, Activations, film_activations, scores_and_features

_NAMES = {"head": "head", "all": "all layers"}


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a training.

    Attributes:
        layers: What learns: the new layers alone, or all that aren't kept constant.
        epochs: How many; None takes those of the task (`--epochs`).
        factor: Multiple of the recipe's rates.
        rates: Rates of its own instead, e.g. as typed after `--phase`.
        auto: Whether a range test at its beginning chooses the rates.
    """

    layers: Literal["head", "all"]
    epochs: int | None = None
    factor: float = 1.0
    rates: Rates | None = None
    auto: bool = False


def parse_phase(text: str) -> Phase:
    """What `--phase` was given: LAYERS:EPOCHS, then nothing, a rate, two rates, or auto.

    Raises:
        OptionError: Layers other than head and all, no whole number of epochs, or invalid rates.
    """
    layers, _, rest = text.partition(":")
    epochs, _, rates = rest.partition(":")
    if layers not in _NAMES or not epochs.isdecimal() or int(epochs) < 1:
        raise OptionError("--phase takes which layers learn, for how many epochs, and at which rates.",
                          received=f"--phase {text}",
                          remedy="Write, say, --phase head:3:5e-3 --phase all:8:1e-5:1e-3.")
    return Phase(cast(Literal["head", "all"], layers), int(epochs),
                 rates=optimizers.parse_rates(rates) if rates else None, auto=rates == "auto")


@dataclass(frozen=True, kw_only=True)
class Phased:
    """A network trained on films in phases; the recipes of this kind differ in these values alone.

    Attributes:
        phases: In order.
        head: The new layers, by their name in `models.heads`.
        scaling: Factor and offset of the films where others than the backbone's own are wanted.
        loss: As Keras names it.
        optimizer: As `training.optimizers` names it, with its momentum and weight decay.
        rates: Learning rates of the first layers and of the last; None has a range test choose them.
        spread: The first layers' rate over the last ones', where a single rate is given or found.
        schedule: How the rates move within a phase, as `training.optimizers` names it.
        augment: What the training films are varied by: a preset's name, or "generator".
        weighted: Whether rare classes count like frequent ones.
        patience: Epochs without a better validation loss until the last phase ends, with the best epoch's
            weights; None trains all epochs and keeps the last.
        mixed: Whether to compute in bfloat16 where the device has it.
        train_norm: Whether BatchNorm learns, which pays only where its statistics weren't pretrained.
        head_factor: Multiple of the rate for the new layers, where all others learn at one rate.
        fold: Whether BatchNorm is folded into the convolutions before it, which is faster than keeping it
            constant.
        size: Height and width of the films in pixels; None takes the backbone's own.
        mixup, smoothing: As of `FilmBatches`.
        clip, average: As of `build_optimizer`.
    """

    backbone: ClassVar[str] = "inception_v3"
    epochs: ClassVar[int] = 60  # of the main phase, where nobody asks for another number
    fewest_epochs: ClassVar[int] = 1  # that are worth their while
    rule: ClassVar[str] = DEFAULT  # by which the threshold is fixed

    phases: tuple[Phase, ...] = (Phase("all"),)
    head: str = "softmax"
    scaling: tuple[float, float] | None = None
    loss: str = "categorical_crossentropy"
    optimizer: str = "adam"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    rates: Rates | None = Rates(1e-3, 1e-3)
    spread: float = 1.0
    schedule: str = "constant"
    augment: str = "films"
    weighted: bool = True
    patience: int | None = None
    mixed: bool = True
    train_norm: bool = False
    head_factor: float = 1.0
    fold: bool = False
    size: int | None = None
    mixup: float = 0.0
    smoothing: float = 0.0
    clip: float | None = None
    average: float | None = None

    def __post_init__(self) -> None:
        """Refuse invalid values before any work is done."""
        check_known("head", self.head, HEADS)
        check_known("schedule", self.schedule, optimizers.SCHEDULES)
        variant_of(self.augment, seed=0)
        optimizers.build_optimizer(self.optimizer, 1.0, momentum=self.momentum, nesterov=self.nesterov,
                        weight_decay=self.weight_decay)

    def train(self, task: Task) -> Trained:
        """Train all phases and score every film."""
        with task.devices.shared():
            ready = self.prepare(task)
            with task.stages.measure("training"):
                history = ready.loop.run(ready.phases)
        model = in_float32(ready.model)
        with task.stages.measure("scores"):
            scored = ready.score(model)
        return Trained(model=model, history=history, diverged_in=ready.loop.diverged_in, **scored._asdict())

    def prepare(self, task: Task) -> ReadyTraining:
        """The network, its batches and its phases, ready to be trained."""
        network, model = self.build(task)
        weights = task.class_weights() if self.weighted else None
        variant = variant_of(self.augment, task.seed)
        batches = FilmBatches(task, "train", variant=variant, class_weights=weights, mixup=self.mixup,
                              smoothing=self.smoothing)
        loop = Loop(model, batches,
                    FilmBatches(task, "validation", class_weights=weights), task.checkpoint, task.devices)

        def score(model: keras.Model) -> Scored:
            engine, classes = task.frozen(with_features(model)), len(task.classes)
            scores, features = scores_and_features(engine, task.pixels, classes=classes,
                                                   rows=task.reference_rows())
            return Scored(scores, features, lambda films: engine(films)[:, :classes])

        return ReadyTraining(model, loop, self.loop_phases(task, network, loop), score)

    def build(self, task: Task) -> tuple[keras.Model, keras.Model]:
        """The backbone with its weights, and the same with the new head."""
        announce("Network")
        with task.stages.measure("network"), _precision(self.mixed and task.device.bfloat16):
            network = build_backbone(task.backbone, task.size, scaling=self.scaling)
            load_weights(network, task.backbone, task.weights)
            if self.fold:
                network = fold_batch_norm(network)
            return network, attach_head(network, HEADS[self.head], len(task.classes))

    def loop_phases(self, task: Task, network: keras.Model, loop: Loop) -> list[LoopPhase]:
        """The recipe's phases bound to a model: the backbone `network` under the head of the loop's model."""
        return [_Learner(self, task, network, loop, phase).loop_phase() for phase in self.phases]


class Scored(NamedTuple):
    """What a trained model says of the task's films, by the names of `Trained`."""

    scores: np.ndarray
    features: np.ndarray | None = None
    score: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True, slots=True)
class ReadyTraining:
    """A training that is ready to begin.

    Attributes:
        model: Films to scores; it shares its layers with the model of the loop.
        score: Scores the task's films by a trained model of this kind.
    """

    model: keras.Model
    loop: Loop
    phases: list[LoopPhase]
    score: Callable[[keras.Model], Scored]


@dataclass(frozen=True, slots=True)
class _Learner:
    """Binds one phase of a recipe to a model."""

    recipe: Phased
    task: Task
    network: keras.Model
    loop: Loop
    phase: Phase

    def loop_phase(self) -> LoopPhase:
        phase = self.phase
        patience = self.recipe.patience if phase is self.recipe.phases[-1] else None
        return LoopPhase(name=_NAMES[phase.layers], epochs=phase.epochs or self.task.epochs,
                         choose_rates=self._choose_rates, compile=self._compile,
                         compile_for_test=self._compile_for_test,
                         stopping=None if patience is None else EarlyStopping(patience=patience))

    def _choose_rates(self) -> Rates:
        recipe, phase = self.recipe, self.phase
        rates = phase.rates or (recipe.rates and recipe.rates.times(phase.factor))
        if rates is not None and not phase.auto:
            return rates if rates.low < rates.high else Rates(rates.high * recipe.spread, rates.high)
        self._compile_for_test()
        rate = suggest(find_rates(self.loop.model, self.loop.batches, description="Range test")).valley
        say(f"{_NAMES[phase.layers]}: learning rate {rate:.2e}, the valley of a range test")
        return Rates(rate * recipe.spread, rate)

    def _compile_for_test(self) -> None:
        self._compile(Rates(self.recipe.spread, 1.0), None)

    def _compile(self, rates: Rates, steps: int | None) -> None:
        """Freeze and unfreeze, then compile with a schedule over so many steps (None: a constant rate)."""
        recipe, model, factors = self.recipe, self.loop.model, None
        if self.phase.layers == "head":
            self.network.trainable = False
        else:
            random = self.task.weights.path is None
            unfreeze(self.network, constant=() if random else self.task.backbone.constant,
                     norm=recipe.train_norm or random)
            groups = depth_groups(model, self.network)
            if rates.low < rates.high:
                factors = optimizers.group_factors(rates, groups)
            elif recipe.head_factor != 1:
                factors = {path: recipe.head_factor if group == HEAD_GROUP else 1.0
                           for path, group in groups.items()}
        rate = rates.high if steps is None else optimizers.rate_schedule(recipe.schedule, rates.high, steps)
        optimizer = optimizers.build_optimizer(
            recipe.optimizer, rate, momentum=recipe.momentum, factors=factors, nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay, clip=recipe.clip, average=recipe.average)
        model.compile(optimizer, loss=recipe.loss, metrics=["accuracy"])


@dataclass(frozen=True, kw_only=True)
class Top(Phased):
    """The last blocks of a backbone and a new head, on cached activations of several views.

    Quick, and the highest figure on one's own films. Beware of it elsewhere: on the independent test films of
    the children's set, fine-tuning the top blocks of InceptionV3 lowered the AUC from 0.96 (frozen) to 0.93
    after one epoch and 0.88 after five, while the internal accuracy rose from 97 to 98.5 %.

    Attributes:
        views: Augmented views of each training film, beside the film itself; an epoch sees one of them.
    """

    phases: tuple[Phase, ...] = (Phase("head", epochs=2, rates=Rates(1e-3, 1e-3)), Phase("all"))
    optimizer: str = "adamw"
    weight_decay: float = 1e-2
    rates: Rates | None = Rates(1e-4, 1e-4)
    schedule: str = "cosine"
    patience: int | None = 5
    views: int = 3

    def prepare(self, task: Task) -> ReadyTraining:
        """Compute the activations, then make the layers above the cut ready to learn on them."""
        network, model = self.build(task)
        below = keras.Model(model.input, model.get_layer(task.backbone.cut).output, name=network.name)
        with task.stages.measure("trunk over films"):
            engine = task.frozen(below)
            films = film_activations(engine, task.pixels, description="Films", cache=task.cache)
        with task.stages.measure("trunk over views"):
            views = task.train_views(engine, views=self.views, augment=self.augment)
        weights = task.class_weights() if self.weighted else None
        batches = ActivationBatches(task, "train", films=films, views=views, class_weights=weights)
        validation = ActivationBatches(task, "validation", films=films, class_weights=weights)
        loop = Loop(_above(model, task.backbone.cut), batches, validation, task.checkpoint)
        return ReadyTraining(model, loop, self.loop_phases(task, network, loop),
                             lambda trained: Scored(_scores(_above(trained, task.backbone.cut), films)))


@contextmanager
def _precision(bfloat16: bool) -> Iterator[None]:
    """Layers built inside compute in bfloat16 if wanted; their weights stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if bfloat16 else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def in_float32(model: keras.Model) -> keras.Model:
    """The same network with every layer computing in float32, as any engine can load it."""

    def rebuild(layer: keras.Layer) -> keras.Layer:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    exact = keras.models.clone_model(model, clone_function=rebuild)
    exact.set_weights(model.get_weights())
    return exact


def _above(model: keras.Model, cut: str) -> keras.Model:
    """The part of a model above its layer `cut`, sharing its layers."""
    return keras.Model(model.get_layer(cut).output, model.output, name=f"{model.name}_top")


def _scores(above: keras.Model, films: Activations) -> np.ndarray:
    """float32 (N, K), in batches, so that the activations needn't fit into memory."""
    parts = [above.predict_on_batch(films.batch(range(start, min(start + BATCH, len(films)))))
             for start in range(0, len(films), BATCH)]
    return np.concatenate(parts).astype("float32")
