"""The table of what is known before a network is built is true, and can be read without Keras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pneumo_tf.models import published
from pneumo_tf.models.backbones import BACKBONES
from pneumo_tf.models.classifier import build_backbone, multiply_adds
from pneumo_tf.models.published import PUBLISHED, installed, usable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of backbones whose weights are on this machine; to be filled."""
    names: set[str] = set()
    files = {PUBLISHED[name].weights: name for name in PUBLISHED if not PUBLISHED[name].filled}
    monkeypatch.setattr(published, "find_on_this_machine",
                        lambda file: ("a fixture", Path()) if files[file] in names else None)
    return names


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_lite0", "efficientnet_lite2",
                                  "resnet18", "dinov2_small", "vgg16_dwsep"])
def test_the_costs_are_those_of_the_network_that_is_built(name: str) -> None:
    known, network = PUBLISHED[name], build_backbone(BACKBONES[name], BACKBONES[name].size)
    assert (network.count_params(), multiply_adds(network), network.output_shape[-1]) == (
        known.parameters, known.multiply_adds, known.channels)


def test_every_address_is_https_and_every_file_has_a_hash() -> None:
    for name, row in PUBLISHED.items():
        kind, _, digits = row.weights.hash.partition(":")
        assert row.weights.url.startswith("https://") or not row.weights.url, name
        assert kind in ("md5", "sha256"), name
        assert len(digits) >= 8, name


def test_every_backbone_is_in_both_tables_in_the_same_order() -> None:
    assert list(PUBLISHED) == list(BACKBONES)
    for name, backbone in BACKBONES.items():
        assert (list(PUBLISHED[name].filled) == list(backbone.constant)) if backbone.partial \
            else not PUBLISHED[name].filled


def test_a_wanted_backbone_gives_way_to_one_whose_weights_are_here(here: set[str]) -> None:
    here.add("resnet18")
    assert usable(["inception_v3"]) == ["resnet18"]
    here.add("inception_v3")
    assert usable(["inception_v3"]) == ["inception_v3"]


def test_the_members_of_an_ensemble_stay_different(here: set[str]) -> None:
    here.update({"resnet18", "efficientnet_lite0"})
    assert usable(["inception_v3", "efficientnet_lite0"]) == ["resnet18", "efficientnet_lite0"]
    here.remove("resnet18")
    assert usable(["inception_v3", "efficientnet_lite0"]) == ["inception_v3", "efficientnet_lite0"]


def test_where_none_is_here_the_wanted_one_stays(here: set[str]) -> None:
    assert installed() == []
    assert usable(["inception_v3"]) == ["inception_v3"]


def test_the_table_leaves_keras_out() -> None:
    script = ("import sys, pneumo_tf.models.published\n"
              "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))")
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert said.stdout == "set()\n"
