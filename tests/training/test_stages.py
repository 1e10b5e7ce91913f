"""Time and memory that a stage took are seen from outside it."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pneumo_tf.training.stages import StageRecorder

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
