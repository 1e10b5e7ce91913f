"""Fixtures named as states: films drawn once for the whole test run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def phantom_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 synthetic films of 36 patients in a chest_xray tree; only to be read."""
    from pneumo_tf.phantoms.write import write_phantoms

    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "set", films=48, patients=36, seed=7)


@pytest.fixture(scope="session")
def prepared_films(phantom_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same films as prepare_pict.py leaves them; only to be read."""
    from pneumo_tf.data.preparation.prepare import prepare

    target = tmp_path_factory.mktemp("prepared") / "clasificacion"
    prepare(phantom_films, target)
    return target


@pytest.fixture(scope="session")
def labels_table(prepared_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their labels.csv; only to be read."""
    from pneumo_tf.data.labels import read_folder

    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    read_folder(prepared_films).write_csv(path)
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real films and weights, where this machine has them."""
    if not SHARED.is_dir():
        pytest.skip("no real films on this machine")
    return SHARED
