"""Which recipe a name, or a machine, stands for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.training.device import Device
from pneumo_tf.training.fast import Fast
from pneumo_tf.training.full import Full
from pneumo_tf.training.recipes import get_recipe
from pneumo_tf.training.reference import Reference


def test_without_a_name_the_machine_decides(plain_processor: Device) -> None:
    assert get_recipe(None, plain_processor) == ("fast", Fast())
    assert get_recipe(None, replace(plain_processor, accelerator="gpu:0")) == ("full", Full())


@pytest.mark.parametrize(("name", "recipe"), [("fast", Fast), ("full", Full), ("reference", Reference)])
def test_a_name_gives_its_recipe_on_any_machine(plain_processor: Device, name: str, recipe: type) -> None:
    for device in (plain_processor, replace(plain_processor, accelerator="gpu:0")):
        assert get_recipe(name, device) == (name, recipe())


def test_another_name_is_answered_with_those_there_are(plain_processor: Device) -> None:
    with pytest.raises(OptionError, match=r"Received: quick\. Choose one of: fast, full, reference\."):
        get_recipe("quick", plain_processor)
