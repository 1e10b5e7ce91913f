"""The parameters of Keras's ImageDataGenerator as a view of ours, so that both can be asked for the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pneumo_tf.errors import OptionError
from pneumo_tf.training.views import Border, View, affine_matrix


def view_of_keras(parameters: Mapping[str, float | None], height: int, width: int, *,
                  border: Border = "nearest") -> View:
    """The view that shows what ImageDataGenerator.apply_transform makes of the same parameters.

    Keras maps the result back to the film, we the film to the view: zooms below 1 magnify there, positive
    shifts move to the left and up, and its turns come before its shear and zoom. Three oddities of Keras 3.15
    are repeated: tx moves along the width although the generator draws it from the height; a film that isn't
    square turns about a point beside its centre; a brightness rounds down twice, which the offset allows for.

    Args:
        parameters: As get_random_transform gives them: theta and shear in degrees, tx and ty in pixels, zx
            and zy, flip_horizontal, flip_vertical, brightness. What is absent leaves the film as it is.
        height: Height of the film in pixels.
        width: Width of the film in pixels.
        border: The generator's fill_mode: "nearest", its default, or "constant" with a cval of 0.

    Raises:
        OptionError: A channel shift, which no view has, or a zoom that isn't above 0.
    """
    mirrored = bool(parameters.get("flip_horizontal")), bool(parameters.get("flip_vertical"))
    backward = _film_from_view(parameters, height, width)
    if parameters.get("channel_shift_intensity") is not None or np.linalg.det(backward) <= 0:
        raise OptionError("A view has no channel shift, and its zooms lie above 0.", received=str(parameters))
    forward = np.linalg.inv(backward)
    view = replace(_factors(forward[:2, :2]), flip=mirrored[0], flip_vertical=mirrored[1], border=border)
    brightness = parameters.get("brightness")
    if brightness is not None:  # Keras drops the fraction before the factor and after it, half a level each
        view = replace(view, brightness=brightness, offset=-(brightness + 1) / 2)
    if mirrored[0] != mirrored[1]:  # Keras mirrors last, a view first, which turns its angles round
        view = replace(view, rotation=-view.rotation, shear=-view.shear)
    x, y = (_mirror(mirrored, height, width) @ forward)[:2, 2] - affine_matrix(view, height, width)[:, 2]
    return replace(view, shift_x=float(x / width), shift_y=float(y / height))


def _value(parameters: Mapping[str, float | None], name: str, default: float) -> float:
    value = parameters.get(name)
    return float(default if value is None else value)


def _film_from_view(parameters: Mapping[str, float | None], height: int, width: int) -> np.ndarray:
    """Keras's matrix from (x, y, 1) of its result to those of the film, mirrors left out."""
    theta, shear = (np.deg2rad(_value(parameters, name, 0)) for name in ("theta", "shear"))
    turn = np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    shift = _translation(_value(parameters, "tx", 0), _value(parameters, "ty", 0))
    lean = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    zoom = np.diag([_value(parameters, "zx", 1), _value(parameters, "zy", 1), 1])
    centre = (height - 1) / 2, (width - 1) / 2  # in Keras's order, on (x, y)
    return _translation(*centre) @ turn @ shift @ lean @ zoom @ _translation(-centre[0], -centre[1])


def _translation(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def _mirror(mirrored: tuple[bool, bool], height: int, width: int) -> np.ndarray:
    flip, flip_vertical = mirrored
    return np.array([[-1 if flip else 1, 0, width - 1 if flip else 0],
                     [0, -1 if flip_vertical else 1, height - 1 if flip_vertical else 0],
                     [0, 0, 1]])


def _factors(linear: np.ndarray) -> View:
    """The rotation, shear, scale and aspect whose product is a 2×2 matrix (a QR decomposition)."""
    angle = np.arctan2(-linear[1, 0], linear[0, 0])
    unturned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ linear
    across, down = unturned[0, 0], unturned[1, 1]
    return View(rotation=float(np.rad2deg(angle)), scale=float(np.sqrt(across * down)),
                aspect=float(across / down), shear=float(np.rad2deg(np.arctan(-unturned[0, 1] / down))))
