"""The recipes by name: what each comes from, its command, and what it was measured to give.

Every figure is of grouped test films of the public children's set at 224 px, as `benchmarks/recipes.md` says
in full, with the command of each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from pneumo_tf.errors import OptionError, choose_from, option_of
from pneumo_tf.models.backbones import Backbone
from pneumo_tf.training.batches import GENERATOR
from pneumo_tf.training.device import Device
from pneumo_tf.training.ensemble import Ensemble
from pneumo_tf.training.fast import Fast
from pneumo_tf.training.optimizers import Rates
from pneumo_tf.training.phased import Phase, Phased
from pneumo_tf.training.top import Top


@dataclass(frozen=True, kw_only=True)
class Reference(Phased):
    """The transfer-learning tutorial as it stands, to be compared with.

    Nothing frozen under a fresh head of three wide layers; SGD with Nesterov momentum, no early stopping, no
    class weights. The inputs are divided by 255, which is not what InceptionV3 was trained on; kept, because
    this recipe repeats the tutorial. Two things differ: the training films are shuffled, and validation films
    are not augmented.

    `--recipe reference --backbone efficientnet_lite0 --image-size 128 -e 6`.
    Measured on 1,000 films over 3 seeds: accuracy 0.567 (0.520–0.637), F1 0.688 (0.660–0.725),
    AUC 0.628 (0.498–0.828); its cost was measured in benchmarks/main_job.py.
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

    `--recipe full --backbone efficientnet_lite0 --image-size 128 -e 6`.
    Measured on 1,000 films over 3 seeds: accuracy 0.904 (0.820–0.960), F1 0.915 (0.847–0.961),
    AUC 0.985 (0.972–0.994).
    """

    phases: tuple[Phase, ...] = (Phase("head", epochs=2, rates=Rates(1e-3, 1e-3)), Phase("all"))
    rates: Rates | None = Rates(1e-4, 1e-4)
    schedule: str = "cosine"
    patience: int | None = 5


@dataclass(frozen=True, kw_only=True)
class LastLayer(Phased):
    """The skin-cancer practice: a frozen network and a new last layer, by Adadelta.

    Random resized crops and left-right flips, inputs normalised as on ImageNet. The practice takes ResNet18:
    `--recipe last-layer --backbone resnet18`.

    `--recipe last-layer --backbone efficientnet_lite0 --image-size 128 -e 60`.
    Measured on 1,000 films over 3 seeds: accuracy 0.877 (0.853–0.907), F1 0.886 (0.869–0.911),
    AUC 0.971 (0.967–0.975).
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

    `--recipe fine-tune --backbone efficientnet_lite0 --image-size 128 -e 6`.
    Measured on 1,000 films over 3 seeds: accuracy 0.916 (0.870–0.963), F1 0.921 (0.883–0.963),
    AUC 0.986 (0.983–0.992).
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

    `--recipe scratch-dwsep --weights vgg16_block1.h5 -e 2`.
    Measured on all 5,138 films over one seed: accuracy 0.871, F1 0.917,
    AUC 0.954.
    At 112 px: measured on all 5,138 films over 3 seeds: accuracy 0.863 (0.849–0.877), F1 0.911 (0.903–0.918),
    AUC 0.942 (0.932–0.952).
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
    "fast": Fast(), "full": Full(), "reference": Reference(), "last-layer": LastLayer(),
    "fine-tune": FineTune(), "scratch-dwsep": ScratchDwsep(), "ensemble": Ensemble(), "top": Top(),
}
# What each optimizer usually begins with, for a recipe that is given another one than its own.
_USUAL_RATES = {"sgd": 1e-2, "adam": 1e-3, "adamw": 1e-3, "adadelta": 1.0, "adagrad": 1e-2, "rmsprop": 1e-3}


def choose_recipe(name: str | None, device: Device) -> tuple[str, Recipe]:
    """A recipe and its name; without a name `full` where there is an accelerator, else `fast`.

    Raises:
        OptionError: No such recipe.
    """
    name = name or ("full" if device.accelerator else "fast")
    if name not in RECIPES:
        raise OptionError("The recipe must be one that this program knows.", received=name,
                          remedy=choose_from(RECIPES, name))
    return name, RECIPES[name]


def adapt_recipe(name: str, recipe: Recipe, backbones: Sequence[Backbone],
                 settings: Mapping[str, Any]) -> Recipe:
    """The recipe for its backbones, with single values set otherwise.

    Args:
        name: Of the recipe, for messages.
        recipe: As the table has it.
        backbones: One, or several for an ensemble; their costs say how many views they allow.
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
    """What fits an optimizer that isn't the recipe's own, where nothing is said."""
    optimizer = settings.get("optimizer")
    if not isinstance(recipe, Phased) or optimizer in (None, recipe.optimizer):
        return {}
    usual = _USUAL_RATES.get(optimizer, 1e-3)
    values = {"rates": Rates(usual * recipe.spread, usual), "momentum": 0.0, "nesterov": False}
    return {name: value for name, value in values.items() if name not in settings}
