"""A trained network as a plain function from films to scores, as fast as the machine allows."""

from __future__ import annotations

import keras
import numpy as np

from pneumo_tf.explain.perturbing import BATCH, Films, Scorer
from pneumo_tf.training.engine import KERAS, Engine, build_engine


def network_scorer(model: keras.Model, *, bfloat16: bool = False, engine: str = KERAS,
                   threads: int = 1) -> Scorer:
    """Scores of a classifier whose BatchNorm is folded away.

    Args:
        model: A flat functional classifier; it stays as it is.
        bfloat16: Compute in it, where the machine has instructions for it. Scores then differ from those of
            the exported network in the third decimal.
        engine: `KERAS` or `OPENVINO`.
        threads: Of the processor, for OpenVINO; Keras's are set when it starts.

    Returns:
        uint8 (n, H, W, 3) to float32 (n, K).
    """
    exact = build_engine(model, engine, threads=threads)
    quick = exact.coarse() if bfloat16 else exact
    batch = _padded if engine == KERAS else _as_they_are

    def score(films: Films) -> np.ndarray:
        starts = range(0, len(films), BATCH)
        return np.concatenate([batch(quick, films[start : start + BATCH]) for start in starts])

    return score


def _padded(network: Engine, films: Films) -> np.ndarray:
    """Scores of at most one batch, always computed at the full batch's shape so it is compiled once."""
    whole = np.zeros((BATCH, *films.shape[1:]), np.uint8)
    whole[: len(films)] = films
    return np.asarray(network(whole), dtype=np.float32)[: len(films)]


def _as_they_are(network: Engine, films: Films) -> np.ndarray:
    return np.asarray(network(films), dtype=np.float32)
