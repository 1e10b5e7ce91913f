"""Which recipe a name, or a machine, stands for, and how single values of it are set."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from pneumo_tf.cli import options
from pneumo_tf.errors import OptionError
from pneumo_tf.models.backbones import BACKBONES, Backbone
from pneumo_tf.training.fast import Ensemble, Fast
from pneumo_tf.training.optimizers import OPTIMIZERS, Rates
from pneumo_tf.training.phased import Phased, Top
from pneumo_tf.training.recipes import RECIPES, adapt_recipe, choose_recipe


@pytest.mark.parametrize(("settings", "name"), [
    ({}, "sturdy"), ({"views": 2}, "fast"), ({"augment": "films"}, "sturdy"),
    ({"views": 2, "rates": None}, "sturdy")])
def test_without_a_name_what_holds_up_best_unless_only_fast_knows_what_was_typed(
        settings: dict[str, object], name: str) -> None:
    assert choose_recipe(None, settings)[0] == name


@pytest.mark.parametrize("name", RECIPES)
def test_a_name_gives_its_recipe(name: str) -> None:
    assert choose_recipe(name, {}) == (name, RECIPES[name])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_own_backbones_are_in_the_table(name: str) -> None:
    names = RECIPES[name].backbone.split("+")
    assert set(names) <= set(BACKBONES)
    assert (len(names) > 1) is isinstance(RECIPES[name], Ensemble)


def test_another_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(OptionError, match=r"Received: quick\. Choose one of: fast, sturdy, full, reference"):
        choose_recipe("quick", {})


@pytest.mark.parametrize("name", ["fast", "top"])
def test_views_are_as_many_as_the_backbone_allows_or_as_asked(small_backbone: Backbone, name: str) -> None:
    recipe = RECIPES[name]
    for views in (1, 7):
        adapted = adapt_recipe(name, recipe, [replace(small_backbone, views=views)], {})
        assert isinstance(adapted, Fast | Top)
        assert adapted.views == views
    asked = adapt_recipe(name, recipe, [small_backbone], {"views": 5})
    assert isinstance(asked, Fast | Top)
    assert asked.views == 5


def test_any_single_value_can_be_set(small_backbone: Backbone) -> None:
    adapted = adapt_recipe("fine-tune", RECIPES["fine-tune"], [small_backbone],
                           {"optimizer": "sgd", "momentum": 0.9, "rates": Rates(1e-3, 1e-2), "patience": 3})
    assert isinstance(adapted, Phased)
    assert (adapted.optimizer, adapted.momentum, adapted.rates) == ("sgd", 0.9, Rates(1e-3, 1e-2))
    assert adapted.patience == 3
    assert adapted.schedule == "one-cycle"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_optimizer_brings_its_usual_rate_and_no_momentum(
        small_backbone: Backbone, optimizer: str) -> None:
    own = RECIPES["reference"]
    adapted = adapt_recipe("reference", own, [small_backbone], {"optimizer": optimizer})
    assert isinstance(adapted, Phased)
    assert isinstance(own, Phased)
    if optimizer == own.optimizer:
        assert adapted == own
    else:
        assert (adapted.momentum, adapted.nesterov) == (0.0, False)
        assert adapted.rates is not None
        assert adapted.rates.high >= 1e-3


def test_an_unknown_optimizer_is_said_to_be_one(small_backbone: Backbone) -> None:
    with pytest.raises(OptionError, match="The optimizer must be one that this program knows"):
        adapt_recipe("full", RECIPES["full"], [small_backbone], {"optimizer": "lion"})


def test_a_value_that_a_recipe_has_not_is_refused_with_those_that_have_it(small_backbone: Backbone) -> None:
    with pytest.raises(OptionError, match=r"recipe full\. Received: --views\. .*fast, ensemble, top\."):
        adapt_recipe("full", RECIPES["full"], [small_backbone], {"views": 2})
    with pytest.raises(OptionError, match=r"in the recipe fast\. Received: --lr\."):
        adapt_recipe("fast", RECIPES["fast"], [small_backbone], {"rates": None})


@pytest.mark.parametrize(("name", "count"), [("ensemble", 1), ("fast", 2), ("full", 3)])
def test_several_backbones_make_an_ensemble_and_one_does_not(
        small_backbone: Backbone, name: str, count: int) -> None:
    with pytest.raises(OptionError, match="An ensemble takes several backbones, every other recipe one"):
        adapt_recipe(name, RECIPES[name], [small_backbone] * count, {})


def test_every_value_that_can_be_typed_belongs_to_some_recipe() -> None:
    known = {field.name for recipe in RECIPES.values() for field in fields(recipe)}
    assert set(options.SETTINGS) <= known
