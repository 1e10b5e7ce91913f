"""What TensorBoard and MLflow read back, with readers of their own, is what the run's folder holds."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.studies.tracking import TRACKERS, TrackingError, track


@pytest.fixture
def finished_run(small_run: Path, tmp_path: Path) -> Path:
    """A run whose network was trained for two epochs."""
    run = shutil.copytree(small_run / "runs/small", tmp_path / "small")
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"recipe": "fast", "options": {"batch_size": 32}}))
    pd.DataFrame({"epoch": [1, 2], "loss": [0.7, 0.5], "val_loss": [0.8, 0.6]}).to_csv(
        run / "history.csv", index=False)
    return run


def figures_of(run: Path) -> dict[str, float]:
    figures = json.loads((run / "metrics.json").read_text())["test"]["figures"]
    return {f"test/{name}{ending}": figure[part] for name, figure in figures.items()
            for part, ending in (("value", ""), ("low", "_low"), ("high", "_high"))
            if figure.get(part) is not None}


def test_tensorboard_reads_curves_figures_and_options(finished_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    name = json.loads((finished_run / "run.json").read_text())["name"]
    folder = track(finished_run, "tensorboard", tmp_path)
    assert folder == tmp_path / "tensorboard" / name
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    history = pd.read_csv(finished_run / "history.csv")
    loss = events.Tensors("epoch/val_loss")
    assert [event.step for event in loss] == list(history["epoch"])
    assert [event.tensor_proto.float_val[0] for event in loss] == pytest.approx(list(history["val_loss"]))
    told = {tag: events.Tensors(tag)[0].tensor_proto.float_val[0] for tag in figures_of(finished_run)}
    assert told == pytest.approx(figures_of(finished_run), rel=1e-6)
    options = [HParamsPluginData.FromString(content) for content in events.PluginTagToContent("hparams")
               .values()][-1]
    assert options.session_start_info.hparams["recipe"].string_value == "fast"
    files = list(folder.iterdir())
    assert track(finished_run, "tensorboard", tmp_path) == folder
    assert list(folder.iterdir()) == files


def test_mlflow_reads_parameters_metrics_and_the_report(finished_run: Path, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (finished_run / "report.html").write_text("<p>told</p>")
    for _ in range(2):  # told twice, it is there once
        store = track(finished_run, "mlflow", tmp_path)
    client = MlflowClient(store.as_uri())
    experiment = client.get_experiment_by_name("pneumo_tf")
    (run,) = client.search_runs([experiment.experiment_id])
    facts = json.loads((finished_run / "run.json").read_text())
    assert (run.info.run_name, run.info.status) == (facts["name"], "FINISHED")
    assert (run.data.params["recipe"], run.data.params["batch_size"]) == ("fast", "32")
    expected = figures_of(finished_run)
    assert {name: run.data.metrics[name] for name in expected} == expected
    history = pd.read_csv(finished_run / "history.csv")
    curve = client.get_metric_history(run.info.run_id, "epoch/val_loss")
    assert sorted((point.step, point.value) for point in curve) == \
        list(zip(history["epoch"], history["val_loss"], strict=True))
    copied = Path(client.download_artifacts(run.info.run_id, "report.html", str(tmp_path)))
    assert copied.read_text() == "<p>told</p>"


@pytest.mark.parametrize("tracker", sorted(TRACKERS))
def test_a_tracker_that_isnt_installed_is_said_before_anything_is_done(
        tracker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(TrackingError, match=r"pip install 'pneumo_tf\[track\]'"):
        track(tmp_path, tracker, tmp_path)
    with pytest.raises(OptionError, match="Did you mean mlflow"):
        track(tmp_path, "mlflw", tmp_path)
