"""backbones.py lists what there is, without a download."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from pneumo_tf.cli import backbones as command
from pneumo_tf.models import published


@pytest.fixture(autouse=True)
def few_rows_and_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = {name: published.PUBLISHED[name] for name in ("mobilenet_v3_small", "resnet18", "vgg16_dwsep")}
    monkeypatch.setattr(published, "PUBLISHED", rows)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")

    def unreachable(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(requests.Session, "request", unreachable)


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert command.main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--list"]])
def test_the_table_fits_80_columns_and_says_size_cost_and_origin(
        capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    said = listed(capsys, *arguments).splitlines()
    assert max(map(len, said[:-2])) <= 80
    rows = {line.split()[0]: line.split()[1:] for line in said[1:4]}
    assert rows["resnet18"] == ["11.2", "M", "224", "1.81", "G", "download.pytorch.org"]
    assert rows["vgg16_dwsep"][5:7] == ["2", "layers,"]


def test_a_file_that_lies_here_is_said_to_lie_here(
        capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "models" / "resnet18-f37072fd.pth"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    said = listed(capsys)
    assert "here: Keras's cache" in said
    assert said.splitlines()[-1] == "Next: python scripts/binary_class.py --backbone resnet18"
    facts = {fact["name"]: fact["weights"] for fact in json.loads(listed(capsys, "--json"))}
    assert facts["resnet18"]["path"] == str(path)
    assert facts["mobilenet_v3_small"]["path"] is None


def test_json_holds_exact_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {fact["name"]: fact for fact in json.loads(listed(capsys, "--json"))}
    small, own = facts["mobilenet_v3_small"], facts["vgg16_dwsep"]
    assert (small["parameters"], small["image_size"], small["channels"]) == (939_120, 224, 576)
    assert own["weights"]["layers"] == ["block1_conv1", "block1_conv2"]
    assert all(fact["weights"]["url"].endswith(fact["weights"]["file"]) for fact in facts.values())
