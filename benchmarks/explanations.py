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
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from explanation_bench import ASSIGNED, BEST, Bench, Subject, last_run, means, show  # noqa: E402
from explanation_samples import against_pypi, saving  # noqa: E402

from pneumo_tf.cli.command import start_keras  # noqa: E402

SHUFFLES = 5


def make(folder: Path, films: int, patients: int) -> None:
    """Phantoms, a run on their true labels, and runs on labels shuffled among patients."""
    import pandas as pd

    from pneumo_tf.data.labels import read_folder
    from pneumo_tf.data.preparation.prepare import prepare
    from pneumo_tf.phantoms.write import write_phantoms
    from pneumo_tf.studies.plan import StudyOptions
    from pneumo_tf.studies.train import run_study

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
    from pneumo_tf.explain import fidelity
    from pneumo_tf.explain.superpixels import SEGMENTATIONS, segment

    rows = maps_without_samples(bench)
    for kind, options in (("lime", BEST), ("assigned", ASSIGNED)):
        for segmentation in SEGMENTATIONS:
            for count in samples:
                parts = []
                for subject in bench.subjects:
                    labels = segment(subject.film, segmentation)
                    start = time.perf_counter()
                    found = [bench.lime(subject, labels=labels, samples=count, seed=seed, **options)
                             for seed in range(seeds)]
                    seconds = (time.perf_counter() - start) / seeds
                    steady = fidelity.stability([each.weights for each in found])
                    shown = np.mean([fidelity.verdict(each) == "shown" for each in found])
                    r2 = np.nan if found[0].r2 is None else found[0].r2
                    parts.append({"seconds": seconds, "spearman": steady.spearman, "top five": steady.overlap,
                                  "R2": r2, "shown": float(shown),
                                  **bench.judge(subject, found[0].signed_map())})
                rows.append((f"{kind} {segmentation} {count}", means(parts)))
                print(".", end="", flush=True)
    show(f"{len(bench.subjects)} films, {seeds} seeds", rows)


def maps_without_samples(bench: Bench) -> list[tuple[str, dict[str, float]]]:
    """Grad-CAM, occlusion, and what no method should fall behind: a random map."""
    from pneumo_tf.explain.gradcam import GradCam
    from pneumo_tf.explain.methods import occlusion_map
    from pneumo_tf.explain.superpixels import segment

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


def control(bench: Bench, shuffled: Sequence[Bench], samples: int) -> None:
    """The figures must fail networks that learnt nothing: they point into lesions as often as chance."""

    def rows_of(each: Bench) -> dict[str, dict[str, float]]:
        rows = dict(maps_without_samples(each))
        rows[f"lime slic {samples}"] = means([
            each.judge(subject, each.lime(subject, samples=samples, **BEST).signed_map())
            for subject in each.subjects])
        return rows

    for name, benches in (("true labels", [bench]), ("shuffled labels", shuffled)):
        found = [rows_of(each) for each in benches]
        show(f"{name}: {len(benches)} runs, {len(benches[0].subjects)} films each; "
             "chance = share of the film that counts as inside",
             [(row, means([each[row] for each in found])) for row in found[0]])


def speed(run: Path | None, folder: Path, samples: int) -> None:
    """LIME beside the same forward passes alone, on EfficientNet-Lite0's run and on InceptionV3."""
    from pneumo_tf.explain.network import scorer_of
    from pneumo_tf.training.engine import KERAS, OPENVINO, build_engine
    from pneumo_tf.training.machine import describe_device

    device, rows = describe_device(), []
    for name, model in speed_models(run, folder).items():
        film = phantom_film(model.input_shape[1])
        for engine in (KERAS, OPENVINO):
            built = build_engine(model, engine, threads=device.cores)
            scorer = scorer_of(built.coarse() if device.bfloat16 else built)
            best = fastest(film, scorer, samples)
            rows.append((f"{name}, {engine}", {**best, "overhead": best["lime"] / best["forward"] - 1,
                                               "for 1000": best["lime"] * 1000 / samples}))
    show(f"{samples} samples, bfloat16 {device.bfloat16}, the best of 3", rows)


def fastest(film: np.ndarray, scorer: Callable[[np.ndarray], np.ndarray], samples: int) -> dict[str, float]:
    """Seconds of so many forward passes on films that are ready, and of LIME with as many, in turns."""
    from pneumo_tf.explain.lime import LimeOptions, explain_by_lime
    from pneumo_tf.explain.superpixels import segment

    films = np.random.default_rng(0).integers(0, 256, (32, *film.shape)).astype(np.uint8)
    scorer(films)
    best = {"forward": np.inf, "lime": np.inf}
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(-(-samples // 32)):
            scorer(films)
        best["forward"] = min(best["forward"], time.perf_counter() - start)
        start = time.perf_counter()
        chosen = LimeOptions(**BEST, samples=samples)  # type: ignore[arg-type]
        explain_by_lime(film, segment(film), scorer, explained=0, options=chosen)
        best["lime"] = min(best["lime"], time.perf_counter() - start)
    return best


def speed_models(run: Path | None, folder: Path) -> dict[str, Any]:
    """A run's network; InceptionV3 as `fast` uses it, without its last blocks, and the whole of it."""
    import keras

    from pneumo_tf.models.backbones import get_backbone
    from pneumo_tf.models.classifier import attach_head, build_backbone, linear_classifier, pooled_features
    from pneumo_tf.models.heads import HEADS

    backbone = get_backbone("inception_v3")
    network = build_backbone(backbone, 299)
    features, rng = pooled_features(network, backbone.taps), np.random.default_rng(0)
    head = rng.normal(size=(features.output_shape[-1], 2)).astype("float32")
    lite = run or last_run(folder / "true")
    return {"run": keras.models.load_model(lite / "modelo.keras", compile=False),
            "inception_v3, fast": linear_classifier(features, head, np.zeros(2, "float32")),
            "inception_v3, whole": attach_head(build_backbone(backbone, 299), HEADS["softmax"], 2)}


def phantom_film(side: int) -> np.ndarray:
    import cv2

    from pneumo_tf.phantoms.write import draw_phantom

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
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}\n$ python benchmarks/explanations.py {' '.join(sys.argv[1:])}")
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
