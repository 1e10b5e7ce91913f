"""What a study is asked for, and what is settled before any film is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pneumo_tf import names
from pneumo_tf.cohort import Cohort
from pneumo_tf.errors import OptionError
from pneumo_tf.evaluation import benefit, operating_point
from pneumo_tf.evaluation.calibration import choice as calibration
from pneumo_tf.models.backbones import get_backbone
from pneumo_tf.models.classifier import build_backbone
from pneumo_tf.models.published import usable
from pneumo_tf.models.weights.pretrained import IMAGENET, WORDS, find_weights
from pneumo_tf.training.devices import Devices, choose_devices
from pneumo_tf.training.engine import AUTO, choose_engine
from pneumo_tf.training.machine import StageRecorder, describe_device, pin_numbers
from pneumo_tf.training.phased import Phased, Top
from pneumo_tf.training.pixels import Pixels, decode_cohort
from pneumo_tf.training.recipes import Recipe, adapt_recipe, choose_recipe
from pneumo_tf.training.store import Cache
from pneumo_tf.training.task import Member, Task

_TIED = ("reference", "scratch-dwsep")  # recipes that repeat a document, with its backbone
TUTORIALS = "inception_v3"


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Everything a study depends on; None takes what suits the backbone or the machine.

    Attributes:
        films: Folder of films.
        labels: Labels table.
        output: Folder that gets `runs/<name>/` and the last run's model and report.
        epochs: Most epochs of the recipe's main phase; None takes the recipe's own.
        minutes: That the training may take; None with a recipe lets it take what it takes, and without one
            stands for 10.
        settings: Values of the recipe that are set otherwise, by their names in it.
        backbone: Its name, or several joined by "+" for an ensemble; None takes the recipe's own, or where
            its weights aren't on this machine one whose weights are.
        weights: A path, or a word that `find_weights` knows; for an ensemble one of these words for all, or
            one wish for each, joined by "+".
        operating_point: How the threshold is fixed on the validation films, as `parse_rule` reads it; None
            takes the recipe's own rule.
        calibration: How scores are made into probabilities: "temperature", "platt", "isotonic" or "none".
        prevalences: Shares of positives that predictive values are given for.
        positive: The class to be found; None takes the one that isn't the healthy one's name.
        patients: Column of the labels table that tells the patients; "" for none but `patient`, None to be
            asked where another one seems to.
        split_seed: Seed of the split alone; None takes `seed`.
        engine: What computes frozen networks: "keras", "openvino", or "auto" for what suits the machine.
        devices: How many devices a training of every layer is divided among, or "all".
        cache: Folder for pixels and activations that later runs find again.
        resume: Go on with the run of these options that was stopped.
        publish: Copy the run's network and report beside the runs, where the next program looks.
        synthetic: The films are phantoms, which the report must say.
        command: What was typed, to be repeated.
    """

    films: Path
    labels: Path
    output: Path
    epochs: int | None = None
    minutes: float | None = None
    extension: str | None = None
    recipe: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    backbone: str | None = None
    weights: str = IMAGENET
    image_size: int | None = None
    batch_size: int = 32
    test_fraction: float = 0.30
    validation_fraction: float = 0.15
    split_by: Literal["patient", "film"] = "patient"
    keep_test: bool = False
    operating_point: str | None = None
    calibration: str = calibration.DEFAULT
    prevalences: Sequence[float] = benefit.PREVALENCES
    positive: str | None = None
    patients: str | None = None
    seed: int = 42
    split_seed: int | None = None
    threads: int | None = None
    engine: str = AUTO
    devices: int | str | None = None
    cache: Path | None = None
    resume: bool = False
    publish: bool = True
    lang: str = "en"
    synthetic: bool = False
    command: Sequence[str] = ()

    def positive_class(self, classes: Sequence[str]) -> str:
        """The class to be found, among those there are.

        Raises:
            OptionError: It isn't among them, or their names don't tell which of two it is.
        """
        return names.positive_class(classes, self.positive)

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them."""
        paths = {"films": str(self.films), "labels": str(self.labels), "output": str(self.output),
                 "cache": None if self.cache is None else str(self.cache)}
        settings = {name: plain(value) for name, value in self.settings.items()}
        return {**asdict(self), **paths, "command": list(self.command), "settings": settings}


def plain(value: Any) -> Any:
    """A recipe's value as JSON holds it."""
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured and chosen.

    Attributes:
        minutes: That the person has.
        films_per_second: That the recipe learns from, its views and their changes included.
        epochs: Of the main phase, that fit.
        seconds: From prepared films to the report, about.
        other: The other recipe that there was to choose from.
        other_seconds: What that one would take, about.
    """

    minutes: float
    films_per_second: float
    epochs: int
    seconds: float
    other: str
    other_seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was settled before any film is read.

    Attributes:
        epochs: Most epochs of the main phase.
        rule: How the threshold is fixed.
        pace: What the minutes made of it; None where nobody counts them.
    """

    options: StudyOptions
    members: tuple[Member, ...]
    size: int
    recipe_name: str
    recipe: Recipe
    epochs: int
    rule: str
    threads: int
    engine: str
    devices: Devices = field(default_factory=Devices)
    pace: Pace | None = None

    @property
    def backbones(self) -> str:
        """The members' names joined by "+"."""
        return "+".join(member.backbone.name for member in self.members)

    @property
    def _cache(self) -> Cache | None:
        return None if self.options.cache is None else Cache(self.options.cache)

    def at(self, pace: Mapping[str, Any] | None) -> Plan:
        """The plan with the epochs that were chosen when its run began."""
        return replace(self, epochs=pace["epochs"] or self.epochs, pace=Pace(**pace)) if pace else self

    def decode(self, cohort: Cohort) -> tuple[Cohort, Pixels]:
        """The pixels of a cohort's films, and the cohort without those that can't be read.

        Raises:
            FilmError: Not one film can be read, or one changed in the meantime.
            StorageError: The cache has no room.
        """
        return decode_cohort(cohort, self.options.films, size=self.size, cache=self._cache,
                             workers=self.threads)

    def task(self, cohort: Cohort, pixels: Pixels, stages: StageRecorder) -> Task:
        """What the recipe is given: a cohort with a split, and its pixels."""
        options = self.options
        return Task(cohort=cohort, pixels=pixels, members=self.members, size=self.size, epochs=self.epochs,
                    batch_size=options.batch_size, seed=options.seed, threads=self.threads,
                    device=describe_device(), stages=stages, engine=self.engine, cache=self._cache,
                    devices=self.devices)


def settle(options: StudyOptions) -> Plan:
    """Settle the recipe, backbones and weights, so that a mistake shows before any work is spent."""
    _check_judgement(options)
    pin_numbers()
    device = describe_device()
    engine = choose_engine(options.engine, device)
    name, recipe = choose_recipe(options.recipe, options.settings)
    # A machine that chooses for itself takes the network that its speed allows.
    large = options.recipe is None and (bool(device.accelerator) or _is_file(options.weights))
    own = TUTORIALS if large else recipe.backbone
    backbones = [get_backbone(part) for part in _names(options, name, own)]
    recipe = adapt_recipe(name, recipe, backbones, options.settings)
    whole = options.recipe is None and device.accelerator
    size = options.image_size or (None if whole else getattr(recipe, "size", None)) \
        or max(backbone.size for backbone in backbones)
    for backbone in backbones:
        if size < backbone.smallest:
            build_backbone(backbone, size)  # which says what is wrong
    members = tuple(Member(backbone, find_weights(backbone, wanted)) for backbone, wanted
                    in zip(backbones, _weights_wanted(options.weights, len(backbones)), strict=True))
    return Plan(options=options, members=members, size=size, recipe_name=name, recipe=recipe,
                epochs=options.epochs or recipe.epochs,
                rule=options.operating_point or recipe.rule,
                threads=options.threads or device.cores, engine=engine, devices=_devices(options, recipe))


def _devices(options: StudyOptions, recipe: Recipe) -> Devices:
    """The devices that were asked for, of a recipe that has a use for them."""
    if options.devices is not None and (isinstance(recipe, Top) or not isinstance(recipe, Phased)):
        raise OptionError("--devices goes with recipes that train every layer.",
                          received="one whose backbone is frozen",
                          remedy="Leave it out, or choose --recipe full, sturdy or fine-tune.")
    return choose_devices(options.devices)


def _names(options: StudyOptions, name: str, own: str) -> list[str]:
    """The backbones that were asked for, else the recipe's own where their weights are on this machine."""
    names = (options.backbone or own).split("+")
    return names if options.backbone or options.weights != IMAGENET or name in _TIED else usable(names)


def _is_file(weights: str) -> bool:
    """Whether weights of one network were named, which without a name are the tutorial's."""
    return weights not in WORDS and "+" not in weights


def _check_judgement(options: StudyOptions) -> None:
    """What is made of the scores has a meaning: nobody should wait for a training to learn that it hasn't."""
    if options.operating_point is not None:
        operating_point.parse_rule(options.operating_point)
    calibration.check_method(options.calibration)
    benefit.check_prevalences(options.prevalences)


def _weights_wanted(weights: str, members: int) -> list[str]:
    """One wish for each backbone."""
    if members == 1 or weights in WORDS:
        return [weights] * members
    wanted = weights.split("+")
    if len(wanted) != members:
        raise OptionError("Each backbone needs weights of its own.",
                          received=f"--weights {weights} for {members} backbones",
                          remedy="Join one file, imagenet or none for each by +, in their order.")
    return wanted
