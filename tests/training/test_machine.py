"""What is said of a machine, whether bfloat16 pays there, and what a stage took on it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator

import keras
import numpy as np
import pytest

from pneumo_tf.training import machine
from pneumo_tf.training.machine import StageRecorder, describe_device, package_versions


@pytest.fixture(autouse=True)
def looked_at_anew() -> Iterator[None]:
    describe_device.cache_clear()
    yield
    describe_device.cache_clear()


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "gpu:0"])


def with_flags(monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    information = {"model name": "Tested 9000", "flags": flags}
    monkeypatch.setattr(machine, "_processor_information", lambda: information)


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
    monkeypatch.setattr(machine, "_processor_information", dict)
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
    assert describe_device().cores == 1, "a device is described once"
    describe_device.cache_clear()
    assert describe_device().cores == len(allowed)


def test_versions_are_those_of_the_imported_packages() -> None:
    versions = package_versions()
    assert (versions["numpy"], versions["keras"]) == (np.__version__, keras.__version__)
    assert versions["python"] == platform.python_version()
    assert "a-package-nobody-has" not in versions


MEGABYTE = 1_000_000


def test_memory_that_was_held_and_given_back_inside_a_stage_is_seen() -> None:
    recorder = StageRecorder()
    with recorder.measure("light"):
        time.sleep(0.1)
    with recorder.measure("heavy"):
        block = np.ones(200 * MEGABYTE, np.uint8)
        time.sleep(0.2)
        del block
    with recorder.measure("light again"):
        time.sleep(0.1)
    before, during, after = (stage.peak_memory_bytes for stage in recorder.stages)
    assert 180 * MEGABYTE < during - before < 260 * MEGABYTE
    assert during - after > 150 * MEGABYTE


def test_a_stage_that_fails_is_recorded_all_the_same() -> None:
    recorder = StageRecorder()

    def fail() -> None:
        with recorder.measure("broken"):
            time.sleep(0.05)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert [stage.stage for stage in recorder.stages] == ["broken"]


def test_stages_stand_in_order_with_their_wall_time() -> None:
    recorder = StageRecorder()
    for name, seconds in (("first", 0.02), ("second", 0.3)):
        with recorder.measure(name):
            time.sleep(seconds)
    rows = recorder.to_json()
    assert [row["stage"] for row in rows] == ["first", "second"]
    assert 0.3 <= recorder.stages[1].seconds < 1.5
    assert set(rows[0]) == {"stage", "seconds", "peak_memory_bytes"}
