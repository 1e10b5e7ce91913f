"""The recipes by name, and what each comes from; `benchmarks/recipes.md` says what each was measured to give.

A recipe is added as a class of its values, here, and a row in `RECIPES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from pneumo_tf.errors import OptionError, check_known, option_of
from pneumo_tf.evaluation.operating_point import STRESSED
from pneumo_tf.models.backbones import Backbone
from pneumo_tf.training.batches import GENERATOR
from pneumo_tf.training.fast import Ensemble, Fast
from pneumo_tf.training.optimizers import Rates
from pneumo_tf.training.phased import Phase, Phased, Top


@dataclass(frozen=True, kw_only=True)
class Reference(Phased):
    """The transfer-learning tutorial as it stands, to be compared with.

    Nothing frozen under a fresh head of three wide layers; SGD with Nesterov momentum, no early stopping, no
    class weights. The inputs are divided by 255, which is not what InceptionV3 was trained on; kept, because
    this recipe repeats the tutorial. Two things differ: the training films are shuffled, and validation films
    are not augmented.
    """

    head: str = "tutorial"
    scaling: tuple[float, float] | None = (1 / 255, 0.0)
    loss: str = "binary_crossentropy"
    optimizer: str = "sgd"
    momentum: float = 0.8
    nesterov: bool = True
    rates: Rates | None = Rates(1e-4, 1e-4)
    augment: str = GENERATOR
    weighted: bool = False
    mixed: bool = False
    train_norm: bool = True


@dataclass(frozen=True, kw_only=True)
class Full(Phased):
    """The head first, then everything but BatchNorm at a lower rate that decays along a cosine.

    It stops when validation no longer gets better, and keeps the best epoch. Fine-tuning raises the figures
    on one's own films; on films from elsewhere it was measured to lower them, so compare there before you
    trust it.
    """

    phases: tuple[Phase, ...] = (Phase("head", epochs=2, rates=Rates(1e-3, 1e-3)), Phase("all"))
    rates: Rates | None = Rates(1e-4, 1e-4)
    schedule: str = "cosine"
    patience: int | None = 5


@dataclass(frozen=True, kw_only=True)
class Sturdy(Phased):
    """All layers under strong views, which are new in every epoch: for films from elsewhere.

    On films of its own source it is no better than a frozen network; on perturbed ones it loses far less.
    Mixup, smoothed labels, a weight decay and a moving average of the weights keep it from trusting single
    films. A small network of 128 px learns it on two cores in minutes, BatchNorm being folded away. Meant for
    films that were prepared with `--fit lungs`.
    """

    backbone: ClassVar[str] = "efficientnet_lite0"
    epochs: ClassVar[int] = 10
    fewest_epochs: ClassVar[int] = 3
    rule: ClassVar[str] = STRESSED

    optimizer: str = "adamw"
    rates: Rates | None = Rates(4e-4, 4e-4)
    head_factor: float = 10.0
    weight_decay: float = 0.02
    schedule: str = "one-cycle"
    augment: str = "strong"
    mixed: bool = False
    fold: bool = True
    size: int | None = 128
    mixup: float = 0.3
    smoothing: float = 0.05
    clip: float | None = 1.0
    average: float | None = 0.998


@dataclass(frozen=True, kw_only=True)
class LastLayer(Phased):
    """The skin-cancer practice: a frozen network and a new last layer, by Adadelta.

    Random resized crops and left-right flips, inputs normalised as on ImageNet. The practice takes ResNet18:
    `--recipe last-layer --backbone resnet18`.
    """

    phases: tuple[Phase, ...] = (Phase("head"),)
    head: str = "linear"
    optimizer: str = "adadelta"
    rates: Rates | None = Rates(1e-2, 1e-2)
    augment: str = "skin"
    weighted: bool = False


@dataclass(frozen=True, kw_only=True)
class FineTune(Phased):
    """The fastai practice: one epoch of the head, then all layers at half the rate, each a one-cycle.

    The first layers learn a hundred times slower than the last. Howard and Gugger, 2020 (fastai's
    `fine_tune`); the practice takes ResNet18 at 128 px without augmentation:
    `--recipe fine-tune --backbone resnet18 --image-size 128 -e 6`. What it then does by hand, three epochs of
    the head and eight of everything, is `--phase head:3:5e-3 --phase all:8:1e-5:1e-3`.
    """

    phases: tuple[Phase, ...] = (Phase("head", epochs=1), Phase("all", factor=0.5))
    head: str = "fastai"
    optimizer: str = "adamw"
    weight_decay: float = 1e-2
    rates: Rates | None = Rates(2e-5, 2e-3)
    spread: float = 1e-2
    schedule: str = "one-cycle"
    augment: str = "none"
    weighted: bool = False


@dataclass(frozen=True, kw_only=True)
class ScratchDwsep(Phased):
    """The assignment: VGG16DWSep learnt from scratch but for two convolutions of an ImageNet VGG16.

    Cross-entropy, Adam, L2 decay, early stopping with its defaults, the best epoch's weights. Always in
    float32: processors have fast bfloat16 for ordinary convolutions only.
    """

    backbone: ClassVar[str] = "vgg16_dwsep"

    head: str = "dwsep"
    rates: Rates | None = Rates(1e-4, 1e-4)
    weight_decay: float = 1e-5
    augment: str = "assignment"
    mixed: bool = False
    weighted: bool = False
    patience: int | None = 5
    train_norm: bool = True


Recipe = Phased | Fast | Ensemble | Top
RECIPES: dict[str, Recipe] = {
    "fast": Fast(), "sturdy": Sturdy(), "full": Full(), "reference": Reference(), "last-layer": LastLayer(),
    "fine-tune": FineTune(), "scratch-dwsep": ScratchDwsep(), "ensemble": Ensemble(), "top": Top(),
}
# What each optimizer usually begins with, for a recipe that is given another one than its own.
_USUAL_RATES = {"sgd": 1e-2, "adam": 1e-3, "adamw": 1e-3, "adadelta": 1.0, "adagrad": 1e-2, "rmsprop": 1e-3}


def choose_recipe(name: str | None, settings: Mapping[str, Any]) -> tuple[str, Recipe]:
    """A recipe and its name; without a name what holds up best, `sturdy`, or `fast` where only that knows all
    settings.

    Raises:
        OptionError: No such recipe.
    """
    usual = (row for row in ("sturdy", "fast")
             if set(settings) <= {field.name for field in fields(RECIPES[row])})
    name = name or next(usual, "sturdy")
    check_known("recipe", name, RECIPES)
    return name, RECIPES[name]


def adapt_recipe(name: str, recipe: Recipe, backbones: Sequence[Backbone],
                 settings: Mapping[str, Any]) -> Recipe:
    """The recipe for its backbones, with single values set otherwise.

    Args:
        backbones: One, or several for an ensemble; each says how many views its cost allows.
        settings: Values by the names of the recipe's fields.

    Raises:
        OptionError: The recipe has no such field, or knows no such value.
    """
    if (len(backbones) > 1) != isinstance(recipe, Ensemble):
        raise OptionError("An ensemble takes several backbones, every other recipe one.",
                          received=f"{name} with {'+'.join(backbone.name for backbone in backbones)}",
                          remedy="Write --recipe ensemble --backbone inception_v3+efficientnet_lite0, say.")
    known = {field.name for field in fields(recipe)}
    for setting in settings:
        if setting not in known:
            having = [other for other, row in RECIPES.items() if setting in {f.name for f in fields(row)}]
            raise OptionError(f"Each option must have a meaning in the recipe {name}.",
                              received=option_of(setting),
                              remedy=f"Leave it out, or choose one of: {', '.join(having)}.")
    views = {"views": backbones[0].views} if isinstance(recipe, Fast | Top) else {}
    return replace(recipe, **_rates_of_another_optimizer(recipe, settings), **{**views, **settings})


def _rates_of_another_optimizer(recipe: Recipe, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Values that suit an optimizer other than the recipe's own, where the settings have none."""
    optimizer = settings.get("optimizer")
    if not isinstance(recipe, Phased) or optimizer in (None, recipe.optimizer):
        return {}
    usual = _USUAL_RATES.get(optimizer, 1e-3)
    values = {"rates": Rates(usual * recipe.spread, usual), "momentum": 0.0, "nesterov": False}
    return {name: value for name, value in values.items() if name not in settings}
