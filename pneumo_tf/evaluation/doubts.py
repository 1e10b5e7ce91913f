"""Labels that are worth a second look, by confident learning on scores that no training has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from pneumo_tf.evaluation.scores import Scores

_SHOWN = 100


def label_doubts(probabilities: Mapping[str, Scores]) -> dict[str, Any]:
    """Films whose label the scores contradict most surely, ready for JSON.

    Confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70:1373) by cleanlab: how many films of each
    label look like another class is estimated from the average probability of each class's own films, and
    those with the smallest margin are named. A doubt is no verdict: a film that the network can't read is
    doubted like one with a wrong label.

    Args:
        probabilities: Calibrated, by split. Each film must have been scored by a model that never saw its
            patient; a film that it learnt from would only be believed.

    Returns:
        `films` by split, `doubtful` by split, and `found` of {"id", "split", "label", "suggested",
        "probability", "quality"}, the most doubtful first: `probability` is that of the suggested class,
        `quality` the margin of the label over the others, 0 (surely wrong) to 1. At most 100 are named.
        With films of one class only, `why`.
    """
    splits = [split for split, part in probabilities.items() for _ in part.ids]
    labels = np.concatenate([part.labels for part in probabilities.values()])
    values = np.concatenate([part.values for part in probabilities.values()]).astype(np.float64)
    ids = [name for part in probabilities.values() for name in part.ids]
    classes = next(iter(probabilities.values())).classes
    films = dict(Counter(splits))
    if len(np.unique(labels)) < len(classes):
        return {"films": films, "doubtful": {}, "found": [], "why": "missing_class"}
    rows, quality = _doubted(labels, values)
    found = [{"id": ids[row], "split": splits[row], "label": classes[int(labels[row])],
              "suggested": classes[int(values[row].argmax())], "probability": float(values[row].max()),
              "quality": float(quality[row])} for row in rows[:_SHOWN]]
    return {"films": films, "doubtful": dict(Counter(splits[row] for row in rows)), "found": found,
            "method": "confident learning (cleanlab), pruned by noise rate, ranked by normalised margin"}


def _doubted(labels: np.ndarray, values: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Rows, the most doubtful first, and the quality of every label."""
    # Half a second that a command's --help shouldn't wait for.
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    rows = find_label_issues(labels, values, n_jobs=1, return_indices_ranked_by="normalized_margin")
    return [int(row) for row in rows], get_label_quality_scores(labels, values, method="normalized_margin")
