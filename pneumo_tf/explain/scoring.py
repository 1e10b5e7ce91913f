"""A trained network as a plain function from films to scores, as fast as the machine allows."""

from __future__ import annotations

import keras
import numpy as np

from pneumo_tf.explain.perturbing import BATCH, Films, Scorer
from pneumo_tf.models.folding import fold_batch_norm


def network_scorer(model: keras.Model, *, bfloat16: bool = False) -> Scorer:
    """Scores of a classifier whose BatchNorm is folded away.

    Args:
        model: A flat functional classifier; it stays as it is.
        bfloat16: Compute in it, where the machine has instructions for it. Scores then differ from those of
            the exported network in the third decimal.

    Returns:
        uint8 (n, H, W, 3) to float32 (n, K).
    """
    folded = fold_batch_norm(model, dtype="mixed_bfloat16" if bfloat16 else "float32")

    def score(films: Films) -> np.ndarray:
        starts = range(0, len(films), BATCH)
        return np.concatenate([_batch(folded, films[start : start + BATCH]) for start in starts])

    return score


def _batch(network: keras.Model, films: Films) -> np.ndarray:
    """Scores of at most one batch, always computed at the full batch's shape so it is compiled once."""
    whole = np.zeros((BATCH, *films.shape[1:]), np.uint8)
    whole[: len(films)] = films
    return np.asarray(network.predict_on_batch(whole), dtype=np.float32)[: len(films)]
