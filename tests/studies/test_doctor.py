"""The doctor says why, and what to do about it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pneumo_tf.studies import doctor
from pneumo_tf.studies.doctor import EXTRAS, Gpu, State, explain_gpu, folder_finding, packages

ROOT = Path(__file__).resolve().parents[2]
NVIDIA = frozenset({"0x10de"})
DRIVER = "NVIDIA H100, 550.54, 81559 MiB"


@pytest.mark.parametrize(("seen", "state", "said"), [
    (Gpu(used=("gpu:0",), driver=DRIVER), State.GOOD, "gpu:0"),
    (Gpu(), State.GOOD, "the processor computes"),
    (Gpu(visible=""), State.GOOD, "the processor computes"),
    (Gpu(makers=frozenset({"0x1002"})), State.ADVICE, "ROCm"),
    (Gpu(makers=NVIDIA, visible="-1", driver=DRIVER), State.ADVICE, "Unset CUDA_VISIBLE_DEVICES"),
    (Gpu(makers=NVIDIA, driver=DRIVER, system="Windows"), State.ADVICE, "WSL 2"),
    (Gpu(makers=NVIDIA), State.ADVICE, "Install NVIDIA's driver"),
    (Gpu(makers=NVIDIA, driver=DRIVER), State.ADVICE, "--gpus all"),
    (Gpu(makers=NVIDIA, driver=DRIVER, nodes=True), State.ADVICE, "pip install 'pneumo_tf[gpu]'"),
    (Gpu(driver=DRIVER, nodes=True, libraries=True), State.ADVICE, "list_physical_devices")])
def test_why_a_gpu_isnt_used_has_its_own_remedy(seen: Gpu, state: State, said: str) -> None:
    finding = explain_gpu(seen)
    assert finding.state is state
    assert said in f"{finding.found} {finding.remedy}"


@pytest.mark.parametrize(("needed", "trouble"), [
    ("no-such-package>=1", "no package no-such-package"),
    ("numpy>=99", "where >=99 is needed"),
    ("pylibjpeg[libjpeg,rle]>=99", "where >=99 is needed")])
def test_a_needed_package_that_is_absent_or_old_is_missing(needed: str, trouble: str) -> None:
    first = next(packages({"": ["numpy>=2.0", needed]}))
    assert first.state is State.MISSING
    assert trouble in first.found
    assert "numpy>=2" not in first.found
    assert first.remedy.startswith("Run: pip install")


def test_an_absent_extra_is_advice_with_its_pip_command() -> None:
    findings = {finding.about: finding for finding in packages({"": [], "serve": ["no-such-package"]})}
    assert findings["[serve]"].state is State.ADVICE
    assert findings["[serve]"].remedy.endswith("pip install 'pneumo_tf[serve]'")
    assert "triage_pict.py" in findings["[serve]"].found
    assert findings["[dicom]"].state is State.GOOD


def test_every_extra_for_users_is_looked_at() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # A GPU has a finding of its own; the others are for who works on the program.
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"gpu", "dev", "docs"}


def test_a_folder_that_cant_be_written_to_is_missing_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert folder_finding("model", tmp_path / "file/model", "Elsewhere.").state is State.MISSING
    assert folder_finding("model", tmp_path / "new/model", "Elsewhere.").state is State.GOOD
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("free", "state"), [(80, State.GOOD), (3, State.ADVICE), (0.1, State.MISSING)])
def test_little_room_is_advice_and_none_is_missing(
        free: float, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": free * 1e9})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert folder_finding("model", tmp_path, "Elsewhere.").state is state
