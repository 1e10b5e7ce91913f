"""Explanations, measured on phantoms, whose lesions are known. Each part prints a table and how it was run.

    python benchmarks/explanations.py --part make                # phantoms; runs on true and shuffled labels
    python benchmarks/explanations.py --part table --films 6     # methods × segmentations × samples
    python benchmarks/explanations.py --part saving --films 20   # designs against 4,000 coins
    python benchmarks/explanations.py --part lime --films 4      # against PyPI's lime (pip install lime)
    python benchmarks/explanations.py --part control --films 20  # networks of shuffled labels
    python benchmarks/explanations.py --part speed               # overhead beyond the forward passes
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pandas as pd
from explanation_bench import ASSIGNED, BEST, Bench, Subject, last_run, means, show
from results import command, describe_machine, in_turns
from scipy.stats import spearmanr

from pneumo_tf.cli.command import start_keras
from pneumo_tf.data.labels import read_folder
from pneumo_tf.data.preparation.prepare import prepare
from pneumo_tf.explain import fidelity
from pneumo_tf.explain.gradcam import GradCam
from pneumo_tf.explain.lime import Explanation, LimeOptions, explain_by_lime
from pneumo_tf.explain.methods import occlusion_map
from pneumo_tf.explain.network import scorer_of
from pneumo_tf.explain.superpixels import SEGMENTATIONS, segment
from pneumo_tf.models.backbones import get_backbone
from pneumo_tf.models.classifier import attach_head, build_backbone, linear_classifier, pooled_features
from pneumo_tf.models.heads import HEADS
from pneumo_tf.phantoms.write import draw_phantom, write_phantoms
from pneumo_tf.studies.plan import StudyOptions
from pneumo_tf.studies.train import run_study
from pneumo_tf.training.engine import KERAS, OPENVINO, build_engine
from pneumo_tf.training.machine import describe_device

SHUFFLES = 5
REFERENCE = 4000


def make(folder: Path, films: int, patients: int) -> None:
    """Phantoms, a run on their true labels, and runs on labels shuffled among patients."""
    source = write_phantoms(folder / "phantoms", films=films, patients=patients, seed=42)
    prepare(source, folder / "clasificacion")
    read_folder(folder / "clasificacion").write_csv(folder / "true.csv")
    table = pd.read_csv(folder / "true.csv", dtype=str)
    owners = table.groupby("patient")["clase"].first()
    columns = ["id", "clase", "file", "patient", "source"]
    for seed in range(SHUFFLES):
        shuffled = pd.Series(np.random.default_rng(seed).permutation(owners.to_numpy()), owners.index)
        table.assign(clase=table["patient"].map(shuffled))[columns].to_csv(folder / f"shuffled-{seed}.csv",
                                                                           index=False)
    for name in ("true", *(f"shuffled-{seed}" for seed in range(SHUFFLES))):
        run = run_study(StudyOptions(films=folder / "clasificacion", labels=folder / f"{name}.csv",
                                     output=folder / name, backbone="efficientnet_lite0", synthetic=True,
                                     cache=folder / "cache"))
        area = json.loads((run / "metrics.json").read_text())["test"]["figures"]["auc"]["value"]
        print(f"{name} labels: test AUC {area:.3f}")


def table(bench: Bench, samples: Sequence[int], seeds: int) -> None:
    """Methods × segmentations × samples: stability over seeds and every figure, averaged over films."""
    rows = maps_without_samples(bench)
    for kind, options in (("lime", BEST), ("assigned", ASSIGNED)):
        for segmentation in SEGMENTATIONS:
            for count in samples:
                found = []
                figures = bench.repeat(partial(weigh, bench, found, {**options, "samples": count}),
                                       seeds=seeds, segmentation=segmentation)
                told = means([{"R2": np.nan if each.r2 is None else each.r2,
                               "shown": fidelity.verdict(each) == "shown"} for each in found])
                rows.append((f"{kind} {segmentation} {count}", figures | told))
    show(f"{len(bench.subjects)} films, {seeds} seeds", rows)


def weigh(bench: Bench, found: list[Explanation], options: dict[str, Any], subject: Subject,
          labels: np.ndarray, seed: int) -> np.ndarray:
    """The weights that LIME gives superpixels; the explanation itself is added to those found."""
    found.append(bench.lime(subject, labels, seed=seed, **options))
    return found[-1].weights


def maps_without_samples(bench: Bench) -> list[tuple[str, dict[str, float]]]:
    """Grad-CAM, occlusion, and what no method should fall behind: a random map."""
    camera, rng = GradCam(bench.network.model), np.random.default_rng(0)
    ways: dict[str, Callable[[Subject], np.ndarray]] = {
        "gradcam": lambda subject: camera.signed_map(subject.film, bench.explained),
        "occlusion": lambda subject: occlusion_map(subject.film, bench.scorer, explained=bench.explained),
        "random superpixels": lambda subject: rng.normal(size=200)[segment(subject.film)]}
    rows = []
    for name, way in ways.items():
        parts = []
        for subject in bench.subjects:
            start = time.perf_counter()
            values = way(subject)
            parts.append({"seconds": time.perf_counter() - start, **bench.judge(subject, values)})
        rows.append((name, means(parts)))
    return rows


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
    labels = segment(subject.film, count=superpixels)
    options = {**BEST, "design": "bernoulli"}
    reference = bench.lime(subject, labels, samples=REFERENCE, seed=1000, **options)
    sizes = np.abs(reference.weights)
    error = float(np.std(reference.halves[0] - reference.halves[1]) / 2)  # of the mean of two halves
    five, fifth = set(first_five(reference.weights)), np.sort(sizes)[-5]
    rows = {}
    for name, (design, samples) in ways.items():
        found = bench.lime(subject, labels, samples=samples, seed=1, **{**BEST, "design": design})
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
    model = bench.network.model
    ways: dict[str, Callable[[Subject, np.ndarray, int], np.ndarray]] = {
        "lime 1000, model.predict": lambda subject, labels, seed: pypi(
            subject, labels, seed, lambda films: model.predict(films, verbose=0), bench.explained),
        "lime 1000, our scorer": lambda subject, labels, seed: pypi(
            subject, labels, seed, lambda films: bench.scorer(np.asarray(films, np.uint8)), bench.explained)}
    for samples in (1000, 512, 256):
        ways[f"ours {samples}"] = lambda subject, labels, seed, samples=samples: bench.lime(
            subject, labels, samples=samples, seed=seed, **BEST).weights
    theirs = {"design": "bernoulli", "absent": "zero", "answers": "probability", "surrogate": "ridge"}
    ways["ours 1000, lime's options"] = lambda subject, labels, seed: bench.lime(
        subject, labels, samples=1000, seed=seed, **theirs).weights
    rows = {name: bench.repeat(way, seeds=seeds) for name, way in ways.items()}
    first = next(iter(rows.values()))["seconds"]
    show(f"{len(bench.subjects)} films, {seeds} seeds",
         [(name, {"times faster": first / row["seconds"], **row}) for name, row in rows.items()])


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


def control(bench: Bench, shuffled: Sequence[Bench], samples: int) -> None:
    """The figures must fail networks that learnt nothing: they point into lesions as often as chance."""

    def rows_of(each: Bench) -> dict[str, dict[str, float]]:
        found = [(subject, each.lime(subject, segment(subject.film), samples=samples, **BEST))
                 for subject in each.subjects]
        lime = means([each.judge(subject, explanation.signed_map()) for subject, explanation in found])
        return dict(maps_without_samples(each)) | {f"lime slic {samples}": lime}

    for name, benches in (("true labels", [bench]), ("shuffled labels", shuffled)):
        found = [rows_of(each) for each in benches]
        show(f"{name}: {len(benches)} runs, {len(benches[0].subjects)} films each; "
             "chance = share of the film that counts as inside",
             [(row, means([each[row] for each in found])) for row in found[0]])


def speed(run: Path | None, folder: Path, samples: int) -> None:
    """LIME beside the same forward passes alone, on EfficientNet-Lite0's run and on InceptionV3."""
    device, rows = describe_device(), []
    for name, model in speed_models(run, folder).items():
        film = phantom_film(model.input_shape[1])
        for engine in (KERAS, OPENVINO):
            built = build_engine(model, engine, threads=device.cores)
            scorer = scorer_of(built.coarse() if device.bfloat16 else built)
            forward, lime = fastest(film, scorer, samples)
            figures = {"forward": forward, "lime": lime, "overhead": lime / forward - 1,
                       "for 1000": lime * 1000 / samples}
            rows.append((f"{name}, {engine}", figures))
    show(f"{samples} samples, bfloat16 {device.bfloat16}, the best of 3", rows)


def fastest(film: np.ndarray, scorer: Callable[[np.ndarray], np.ndarray], samples: int) -> list[float]:
    """Seconds of so many forward passes on films that are ready, and of LIME with as many, in turns."""
    films = np.random.default_rng(0).integers(0, 256, (32, *film.shape)).astype(np.uint8)
    scorer(films)
    options = LimeOptions(**BEST, samples=samples)  # type: ignore[arg-type]
    return in_turns([lambda: [scorer(films) for _ in range(-(-samples // 32))],
                     lambda: explain_by_lime(film, segment(film), scorer, explained=0, options=options)], 3)


def speed_models(run: Path | None, folder: Path) -> dict[str, Any]:
    """A run's network; InceptionV3 as `fast` uses it, without its last blocks, and the whole of it."""
    backbone = get_backbone("inception_v3")
    network = build_backbone(backbone, 299)
    features, rng = pooled_features(network, backbone.taps), np.random.default_rng(0)
    head = rng.normal(size=(features.output_shape[-1], 2)).astype("float32")
    lite = run or last_run(folder / "true")
    return {"run": keras.models.load_model(lite / "modelo.keras", compile=False),
            "inception_v3, fast": linear_classifier(features, head, np.zeros(2, "float32")),
            "inception_v3, whole": attach_head(build_backbone(backbone, 299), HEADS["softmax"], 2)}


def phantom_film(side: int) -> np.ndarray:
    film = cv2.resize(draw_phantom("bacteria", patient_seed=1, film_seed=2).film, (side, side))
    return np.repeat(film[..., None], 3, axis=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", required=True,
                        choices=("make", "table", "saving", "lime", "control", "speed"))
    parser.add_argument("--folder", type=Path, default=Path("bench-explanations"))
    parser.add_argument("--run", type=Path, help="another run than the one of --part make")
    parser.add_argument("--films", type=int, default=20, help="phantoms with lesions to explain")
    parser.add_argument("--samples", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--superpixels", type=int, default=80, help="of --part saving")
    parser.add_argument("--phantoms", type=int, nargs=2, default=(360, 240), metavar=("FILMS", "PATIENTS"))
    typed = parser.parse_args()
    print(f"{describe_machine()}\n$ {command()}")
    start = time.perf_counter()
    start_keras(None)
    if typed.part == "make":
        make(typed.folder, *typed.phantoms)
    elif typed.part == "speed":
        speed(typed.run, typed.folder, typed.samples[-1])
    else:
        measure(typed)
    print(f"{time.perf_counter() - start:.0f} s")


def measure(typed: argparse.Namespace) -> None:
    bench = Bench(typed.folder, typed.run or last_run(typed.folder / "true"), typed.films)
    if typed.part == "table":
        table(bench, typed.samples, typed.seeds)
    elif typed.part == "saving":
        saving(bench, typed.folder, typed.superpixels)
    elif typed.part == "lime":
        against_pypi(bench, typed.seeds)
    else:
        shuffled = [Bench(typed.folder, last_run(folder), typed.films)
                    for folder in sorted(typed.folder.glob("shuffled-*/"))]
        control(bench, shuffled, typed.samples[-1])


if __name__ == "__main__":
    main()
