"""Fewer samples for the same answer, and PyPI's lime: two parts of explanations.py."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from explanation_bench import BEST, Bench, Subject, means, show

REFERENCE = 4000


def saving(bench: Bench, folder: Path, superpixels: int) -> None:
    """Each design against a reference of 4,000 coins; films done before are read from the folder.

    The first row is a second reference, drawn as the first was: nothing can be expected to agree better.
    """
    ways = {"coins 4000, again": ("bernoulli", REFERENCE), "coins 1000": ("bernoulli", 1000),
            "coins 300": ("bernoulli", 300), "antithetic 300": ("antithetic", 300),
            "hadamard 256": ("hadamard", 256), "hadamard 512": ("hadamard", 512)}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for subject in bench.subjects:
        path = folder / f"saving-{superpixels}" / f"{subject.name}.json"
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(against_reference(bench, subject, ways, superpixels)))
            print(".", end="", flush=True)
        for name, row in json.loads(path.read_text()).items():
            rows[name].append(row)
    show(f"{len(rows['coins 1000'])} films against {REFERENCE} coins: same = the same five; "
         "as good = none of the five is 2 s.e. worse than the reference's fifth",
         [(name, means(parts)) for name, parts in rows.items()])


def against_reference(bench: Bench, subject: Subject, ways: dict[str, tuple[str, int]], superpixels: int
                      ) -> dict[str, dict[str, float]]:
    from scipy.stats import spearmanr

    from pneumo_tf.explain.superpixels import segment

    labels = segment(subject.film, count=superpixels)
    options = {**BEST, "design": "bernoulli"}
    reference = bench.lime(subject, labels=labels, samples=REFERENCE, seed=1000, **options)
    sizes = np.abs(reference.weights)
    error = float(np.std(reference.halves[0] - reference.halves[1]) / 2)  # of the mean of two halves
    five, fifth = set(first_five(reference.weights)), np.sort(sizes)[-5]
    rows = {}
    for name, (design, samples) in ways.items():
        found = bench.lime(subject, labels=labels, samples=samples, seed=1, **{**BEST, "design": design})
        chosen = first_five(found.weights)
        miss = np.sqrt(np.mean((found.weights - reference.weights) ** 2))
        rows[name] = {"same": float(set(chosen) == five), "overlap": len(five & set(chosen)) / 5,
                      "as good": float((sizes[chosen] >= fifth - 2 * error).all()),
                      "spearman": float(spearmanr(found.weights, reference.weights).statistic),
                      "error": float(miss / sizes.max()), "ref. error": float(error / sizes.max())}
    return rows


def first_five(weights: np.ndarray) -> list[int]:
    return np.argsort(-np.abs(weights), kind="stable")[:5].tolist()


def against_pypi(bench: Bench, seeds: int) -> None:
    """PyPI's lime and ours on one segmentation and classifier: seconds, stability over seeds, deletion."""
    from pneumo_tf.explain import fidelity
    from pneumo_tf.explain.superpixels import segment

    model = bench.network.model
    ways: dict[str, Callable[[Subject, np.ndarray, int], np.ndarray]] = {
        "lime 1000, model.predict": lambda subject, labels, seed: pypi(
            subject, labels, seed, lambda films: model.predict(films, verbose=0), bench.explained),
        "lime 1000, our scorer": lambda subject, labels, seed: pypi(
            subject, labels, seed, lambda films: bench.scorer(np.asarray(films, np.uint8)), bench.explained)}
    for samples in (1000, 512, 256):
        ways[f"ours {samples}"] = lambda subject, labels, seed, samples=samples: bench.lime(
            subject, labels=labels, samples=samples, seed=seed, **BEST).weights
    theirs = {"design": "bernoulli", "absent": "zero", "answers": "probability", "surrogate": "ridge"}
    ways["ours 1000, lime's options"] = lambda subject, labels, seed: bench.lime(
        subject, labels=labels, samples=1000, seed=seed, **theirs).weights
    rows: list[tuple[str, dict[str, float]]] = []
    for name, way in ways.items():
        parts = []
        for subject in bench.subjects:
            labels = segment(subject.film)
            start = time.perf_counter()
            found = [way(subject, labels, seed) for seed in range(seeds)]
            seconds = (time.perf_counter() - start) / seeds
            steady = fidelity.stability(found)
            parts.append({"seconds": seconds, "spearman": steady.spearman, "top five": steady.overlap,
                          **bench.judge(subject, found[0][labels])})
        rows.append((name, means(parts)))
        print(".", end="", flush=True)
    first = rows[0][1]["seconds"]
    show(f"{len(bench.subjects)} films, {seeds} seeds",
         [(name, {"times faster": first / row["seconds"], **row}) for name, row in rows])


def pypi(subject: Subject, labels: np.ndarray, seed: int, classify: Callable[[np.ndarray], np.ndarray],
         explained: int) -> np.ndarray:
    """Weights of PyPI's lime, float (superpixels,)."""
    from lime.lime_image import LimeImageExplainer

    found = LimeImageExplainer(random_state=seed, verbose=False).explain_instance(
        subject.film, classify, labels=(explained,), top_labels=None, hide_color=0, num_samples=1000,
        batch_size=32, segmentation_fn=lambda _: labels)
    weights = np.zeros(labels.max() + 1)
    for superpixel, weight in found.local_exp[explained]:
        weights[superpixel] = weight
    return weights
