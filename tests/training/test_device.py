"""What is said of a machine, and whether bfloat16 pays there."""

from __future__ import annotations

import os
import platform

import keras
import numpy as np
import pytest

from pneumo_tf.training import device
from pneumo_tf.training.device import describe_device, package_versions


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "gpu:0"])


def with_flags(monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    information = {"model name": "Tested 9000", "flags": flags}
    monkeypatch.setattr(device, "_processor_information", lambda: information)


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize(("flags", "pays"), [
    ("fpu avx512f avx512_bf16 sse", True), ("fpu amx_bf16", True),
    ("fpu avx512f avx2 f16c", False), ("not_avx512_bf16", False), ("", False)])
def test_a_processor_computes_in_bfloat16_only_with_instructions_for_it(
        monkeypatch: pytest.MonkeyPatch, flags: str, pays: bool) -> None:
    with_flags(monkeypatch, flags)
    found = describe_device()
    assert (found.processor, found.accelerator, found.bfloat16) == ("Tested 9000", "", pays)


@pytest.mark.usefixtures("one_gpu")
def test_an_accelerator_is_named_and_computes_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    with_flags(monkeypatch, "")
    found = describe_device()
    assert (found.accelerator, found.bfloat16) == ("gpu:0", True)


@pytest.mark.usefixtures("no_accelerator")
def test_a_machine_that_says_nothing_of_its_processor_still_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_processor_information", dict)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert describe_device().processor == "riscv64"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux")
def test_cores_that_this_process_may_not_use_are_not_counted() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert describe_device().to_json()["cores"] == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert describe_device().cores == len(allowed)


def test_versions_are_those_of_the_imported_packages() -> None:
    versions = package_versions()
    assert (versions["numpy"], versions["keras"]) == (np.__version__, keras.__version__)
    assert versions["python"] == platform.python_version()
    assert "a-package-nobody-has" not in versions
