"""Where the network looks on films that were answered: one Grad-CAM overlay each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from pneumo_tf.reading.answer import Answer
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.runs.predictor import Film, load_network
from pneumo_tf.storage import replacing


def overlay_writer(run: RunFolder, folder: Path) -> Callable[[Answer, Film], None]:
    """A function that writes the overlay of an answered film, for the positive class or of several the called
    one; explain_pict.py tells how far such a picture can be believed.

    Raises:
        RunError: The run has no network.
        OptionError: The network has no feature map.
    """
    from pneumo_tf.explain.gradcam import GradCam  # which needs Keras, where an overlay's name doesn't
    from pneumo_tf.explain.methods import scaled
    from pneumo_tf.explain.pictures import overlay

    gradcam = GradCam(load_network(run))

    def write(answer: Answer, film: Film) -> None:
        explained = run.classes.index(run.positive if run.is_binary else answer.call)
        picture = overlay(film, scaled(gradcam.signed_map(film, explained)))
        with replacing(folder / overlay_name(answer.id)) as temporary:
            Image.fromarray(picture).save(temporary)

    return write


def overlay_name(film: str) -> str:
    """The file's name for a film's id: a name that every disk takes, and that no other film has."""
    plain = re.sub(r"[^\w.-]|^\.", "_", film)[-100:]
    return f"{plain}-{hashlib.sha256(film.encode()).hexdigest()[:8]}.png"
