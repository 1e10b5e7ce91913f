"""The recipes by name, and which one suits a machine."""

from __future__ import annotations

from dataclasses import replace

from pneumo_tf.errors import OptionError
from pneumo_tf.models.backbones import Backbone
from pneumo_tf.training.device import Device
from pneumo_tf.training.fast import Fast
from pneumo_tf.training.full import Full
from pneumo_tf.training.reference import Reference

Recipe = Fast | Full | Reference
RECIPES: dict[str, Recipe] = {"fast": Fast(), "full": Full(), "reference": Reference()}


def get_recipe(name: str | None, device: Device, backbone: Backbone) -> tuple[str, Recipe]:
    """A recipe suited to a backbone, and its name.

    Without a name it is `full` where there is an accelerator, else `fast`.

    Raises:
        OptionError: No such recipe.
    """
    name = name or ("full" if device.accelerator else "fast")
    if name not in RECIPES:
        raise OptionError("The recipe must be one that this program knows.", received=name,
                          remedy=f"Choose one of: {', '.join(RECIPES)}.")
    recipe = RECIPES[name]
    return name, replace(recipe, views=backbone.views) if isinstance(recipe, Fast) else recipe
