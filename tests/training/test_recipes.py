"""Which recipe a name, or a machine, stands for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.models.backbones import Backbone
from pneumo_tf.training.device import Device
from pneumo_tf.training.fast import Fast
from pneumo_tf.training.full import Full
from pneumo_tf.training.recipes import get_recipe
from pneumo_tf.training.reference import Reference


@pytest.fixture
def with_gpu(plain_processor: Device) -> Device:
    return replace(plain_processor, accelerator="gpu:0")


def test_without_a_name_the_machine_decides(
        plain_processor: Device, with_gpu: Device, small_backbone: Backbone) -> None:
    assert get_recipe(None, plain_processor, small_backbone)[0] == "fast"
    assert get_recipe(None, with_gpu, small_backbone)[0] == "full"


@pytest.mark.parametrize(("name", "recipe"), [("fast", Fast), ("full", Full), ("reference", Reference)])
def test_a_name_gives_its_recipe_on_any_machine(
        plain_processor: Device, with_gpu: Device, small_backbone: Backbone, name: str, recipe: type) -> None:
    for device in (plain_processor, with_gpu):
        given, found = get_recipe(name, device, small_backbone)
        assert (given, type(found)) == (name, recipe)


def test_fast_draws_as_many_views_as_the_backbone_allows(
        plain_processor: Device, small_backbone: Backbone) -> None:
    for views in (1, 7):
        _, recipe = get_recipe("fast", plain_processor, replace(small_backbone, views=views))
        assert isinstance(recipe, Fast)
        assert recipe.views == views


def test_another_name_is_answered_with_those_there_are(
        plain_processor: Device, small_backbone: Backbone) -> None:
    with pytest.raises(OptionError, match=r"Received: quick\. Choose one of: fast, full, reference\."):
        get_recipe("quick", plain_processor, small_backbone)
