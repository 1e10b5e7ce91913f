"""export_model.py on a small run, and every mistake that a person can make with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pneumo_tf.cli import export_model
from pneumo_tf.cli.export_model import main
from pneumo_tf.models import formats
from pneumo_tf.models.formats import FORMATS
from pneumo_tf.studies import exports


def test_the_formats_of_the_parser_are_those_of_the_table() -> None:
    assert sorted(export_model._FORMATS) == sorted(FORMATS)


def test_an_export_is_told_in_a_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--to", "onnx", "--films", "6", "--threads", "1"]) == 0
    said = capsys.readouterr()
    assert "Held against Keras on 6 films of the run" in said.out
    assert [line.split()[0] for line in said.out.splitlines()[2:4]] == ["keras", "onnx"]
    assert f"Kept in {run / 'exports'}: onnx" in said.out
    assert said.err == ""


def test_a_refusal_comes_after_the_table_and_names_what_was_refused(
        run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(exports, "write_network", lambda model, path, name, *, facts: path.write_text(name))
    monkeypatch.setattr(exports, "open_network", lambda path, name, *, threads:
                        lambda films: np.ones((len(films), 2)))
    assert main(["--to", "litert-int8", "--films", "8", "--threads", "1", "-o", "out"]) == 2
    said = capsys.readouterr()
    assert "refused" in said.out
    assert "call every film as Keras does. Received: litert-int8 with" in said.err
    assert "--force" in said.err
    assert not list(Path("out").iterdir())
    assert main(["--to", "litert-int8", "--films", "8", "--threads", "1", "-o", "out", "--force"]) == 0
    assert (Path("out") / "litert-int8/model.tflite").read_text() == "litert-int8"


def test_mistakes_are_said_in_one_line(run: Path, refused: Callable[..., str],
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    assert "did you mean openvino?" in refused("--to", "openvin")
    assert "The run must exist" in refused("--run", "nowhere")
    assert "Make it with adapt_pict.py" in refused("--to", "onnx", "--at", "clinic")
    monkeypatch.setattr(formats.util, "find_spec", lambda name: None)
    assert "pip install 'pneumo_tf[export]'" in refused("--to", "onnx")
    (run / "modelo.keras").unlink()
    monkeypatch.undo()
    monkeypatch.chdir(run.parents[2])
    assert "by the network that it exported" in refused("--run", str(run), "--to", "onnx")
    assert not (run / "exports").exists() or not list((run / "exports").iterdir())
