"""Starting Keras quietly and with a given number of threads: both must be said before it is imported."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def start_keras(threads: int | None) -> None:
    """Import Keras without the backend's greetings, using so many threads (None: all cores)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if threads:
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)
    with _quiet():
        import keras

        keras.ops.zeros(1)  # the backend greets once more when it computes for the first time


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what native libraries write to standard error; it is shown only where starting fails.

    Redirected at the level of the file descriptor, because these lines don't pass through Python.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        started = False
        try:
            yield
            started = True
        finally:
            os.dup2(before, 2)
            os.close(before)
            if not started:
                kept.seek(0)
                os.write(2, kept.read())
