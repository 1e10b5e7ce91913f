"""Two machines on loopback compute what one computes, and a machine that dies takes nothing along."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from pneumo_tf import cluster
from pneumo_tf.cli import binary_class, compare_runs, predict_pict, prepare_pict
from pneumo_tf.cluster import ClusterError
from pneumo_tf.errors import OptionError
from pneumo_tf.processes import in_processes
from pneumo_tf.training.engine import KerasEngine
from pneumo_tf.training.pixels import Pixels
from pneumo_tf.training.store import Cache
from pneumo_tf.training.trunk import film_outputs

_STORE = 10**8  # bytes of a node's object store, which is as little as Ray takes
SMALL = ("--recipe", "fast", "--backbone", "efficientnet_lite0", "--weights", "none", "--image-size", "32",
         "-e", "4", "--views", "1", "--no-publish")


def test_a_cluster_that_isnt_there_is_said_with_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'pneumo_tf\[cluster\]'"), cluster.joined("auto"):
        pass
    with cluster.joined(None):
        assert not cluster.is_joined()


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    """A cluster of a head and another machine, of a core each, which this process has joined."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_raylet_start_wait_time_s", "180")  # of a machine that has other work
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": _STORE, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=node)
        started.add_node(**node)
        with cluster.joined(started.address):
            yield started
        started.shutdown()


def numbers(start: int, end: int) -> list[int]:
    return list(range(start, end))


@pytest.mark.usefixtures("machines")
def test_what_one_machine_has_no_room_for_is_held_and_asked_in_parts() -> None:
    with cluster.holding([partial(numbers, start, start + 5) for start in (0, 5, 10)]) as ask:
        assert ask(sum) == [10, 35, 60]
        assert ask(len) == [5, 5, 5]
    assert cluster.cores() == 2


def doubled_slowly(number: int) -> int:
    time.sleep(0.05)
    return 2 * number


def refused(number: int) -> int:
    raise OptionError("A number must be liked.", received=str(number), remedy="Like it.")


@pytest.mark.usefixtures("machines")
def test_results_come_in_the_order_of_the_items_and_mistakes_as_they_are() -> None:
    assert in_processes(abs, range(-99, 0), workers=1, description="") == list(range(99, 0, -1))
    with pytest.raises(OptionError, match="A number must be liked") as raised:
        in_processes(refused, [7], workers=1, description="")
    assert raised.value.remedy == "Like it."


@pytest.fixture
def pixels() -> Pixels:
    films = np.random.default_rng(3).integers(0, 256, (150, 16, 16, 1), dtype=np.uint8)
    return Pixels(films, np.arange(150), key="these")


@pytest.fixture
def engine() -> KerasEngine:
    keras.utils.set_random_seed(1)
    films = keras.Input((16, 16, 3))
    maps = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, activation="relu")(films))
    return KerasEngine(keras.Model(films, keras.layers.GlobalAveragePooling2D()(maps)))


def test_features_are_those_of_one_machine_whoever_goes_on_with_them(
        machines: Any, pixels: Pixels, engine: KerasEngine, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as alone:
        alone.setattr(cluster, "_joined", False)
        expected = film_outputs(engine, pixels, description="")
    computed = cluster.mapped

    def killed(*arguments: Any, **options: Any) -> Iterator[Any]:
        yield next(computed(*arguments, **options))
        raise KeyboardInterrupt

    cache = Cache(tmp_path)
    monkeypatch.setattr(cluster, "mapped", killed)
    with pytest.raises(KeyboardInterrupt):
        film_outputs(engine, pixels, description="", cache=cache)
    monkeypatch.setattr(cluster, "mapped", computed)
    with monkeypatch.context() as alone:  # this machine goes on with what the cluster began
        asked: list[int] = []
        alone.setattr(cluster, "_joined", False)
        alone.setattr(KerasEngine, "__call__", lambda self, films: asked.append(1) or
                      np.asarray(self._folded.predict_on_batch(films)))
        found = film_outputs(engine, pixels, description="", cache=cache)
        assert len(asked) == 4  # of five batches
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_same_run_comes_out(machines: Any, phantom_films: Path, prepared_films: Path, labels_table: Path,
                                tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared, trained and predicted on the cluster as on this machine."""
    monkeypatch.setattr(cluster, "joined", lambda address: nullcontext())
    prepare_pict.main(["--source", str(phantom_films), "--target", str(tmp_path / "films"),
                       "--fit", "thumbnail", "--cluster", "auto"])
    for name in ("NORMAL-1.jpeg", "manifest.csv"):
        assert (tmp_path / "films" / name).read_bytes() == (prepared_films / name).read_bytes()
    tables = []
    for joined in (True, False):
        monkeypatch.setattr(cluster, "_joined", joined)
        output = tmp_path / f"model-{joined}"
        assert binary_class.main(["-p", str(prepared_films), "-l", str(labels_table), "-o", str(output),
                                  "--cache", str(tmp_path / f"cache-{joined}"), *SMALL]) == 0
        (run,) = (output / "runs").glob("*-fast-*")
        answers = tmp_path / f"answers-{joined}.csv"
        assert predict_pict.main([str(prepared_films), "--run", str(run), "--engine", "keras",
                                  "-o", str(answers)]) in (0, 1)
        tables.append((pd.read_csv(run / "predictions.csv"), pd.read_csv(answers).drop(columns="ms")))
    for one, other in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=0, atol=1e-6)


def test_the_rows_of_a_grid_are_trained_where_there_is_a_machine_for_them(
        machines: Any, prepared_films: Path, labels_table: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Their paths are those of the person who typed them, who stands somewhere else than the machines."""
    monkeypatch.setattr(cluster, "joined", lambda address: nullcontext())
    (tmp_path / "films").symlink_to(prepared_films)
    (tmp_path / "labels.csv").symlink_to(labels_table)
    monkeypatch.chdir(tmp_path)
    assert compare_runs.main(["-p", "films", "-l", "labels.csv", "-o", "grid", "--cache", "cache", *SMALL[:8],
                              "--views", "1", "--epochs", "2,3", "--synthetic", "--cluster", "auto"]) == 0
    assert sorted(pd.read_csv("grid/comparison.csv")["epochs"]) == [2, 3]


def test_a_machine_that_dies_in_the_middle_takes_nothing_along(machines: Any) -> None:
    done = cluster.mapped(partial(_itself, doubled_slowly), range(80), together=4)
    results = dict([next(done)])
    machines.remove_node(machines.list_all_nodes()[-1], allow_graceful=False)
    results.update(done)
    assert results == {number: 2 * number for number in range(80)}


def _itself(task: Any) -> Any:
    return task
