"""What a run refuses wrongly and what it lets through; which distance tells best; batches that differ.

    python benchmarks/refusal.py --run model/runs/NAME --source train_224.zip --originals fullsize.zip

The run may be one that kept nothing of its films: that is then fitted here, into a copy of its folder. Needs
pydicom for --dicom.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import cv2
import keras
import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image, ImageOps
from results import command, describe_machine, in_turns
from sklearn.covariance import ledoit_wolf

from pneumo_tf.cli.command import start_keras
from pneumo_tf.data.images import SUFFIXES, in_mode, read_film, read_film_file
from pneumo_tf.data.sources import open_source
from pneumo_tf.errors import FilmError
from pneumo_tf.evaluation.novelty import Novelty, fit_novelty, upper_bound
from pneumo_tf.evaluation.shift import Reservoir, compare, told_apart
from pneumo_tf.models.classifier import with_features
from pneumo_tf.phantoms.skin import draw_skin
from pneumo_tf.phantoms.write import draw_phantom
from pneumo_tf.reading.batch import film_facts
from pneumo_tf.reading.refusal import REFUSALS, Judge, judge_of
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RUN, RunFolder, read_run
from pneumo_tf.runs.predictor import decide, film_reader, load_network
from pneumo_tf.runs.reference import write_reference
from pneumo_tf.storage import write_json
from pneumo_tf.studies.reference import fit_reference
from pneumo_tf.training.engine import Engine, build_engine
from pneumo_tf.training.pixels import decode_cohort
from pneumo_tf.training.task import Task, Trained
from pneumo_tf.training.trunk import film_outputs, scores_and_features

Pictures = list[Image.Image]
TURNS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror, "upside down": lambda film: film.transpose(Image.Transpose.ROTATE_180),
    "upside down and mirrored": ImageOps.flip,
    "on the left side": lambda film: film.transpose(Image.Transpose.ROTATE_90),
    "on the right side": lambda film: film.transpose(Image.Transpose.ROTATE_270), "inverted": ImageOps.invert}
# Left, top, right and bottom as shares of the film.
CROPS = {"left half": (0, 0, 0.5, 1), "right half": (0.5, 0, 1, 1), "upper half": (0, 0, 1, 0.5),
         "lower half": (0, 0.5, 1, 1), "middle of half the sides": (0.25, 0.25, 0.75, 0.75),
         "upper left third": (0, 0, 1 / 3, 1 / 3)}
_DRAWN = 60  # phantoms of each kind of film


class Seen(NamedTuple):
    """Of pictures of one kind: the codes that each is refused by as it came in, and what the network met."""

    looks: list[str]
    pixels: np.ndarray
    scores: np.ndarray
    features: np.ndarray
    facts: list[dict[str, str]]


@dataclass(frozen=True)
class Bench:
    """A run with its own films, and what is made of others."""

    run: RunFolder
    judge: Judge
    model: keras.Model
    films: Path
    threads: int

    @cached_property
    def size(self) -> int:
        return int(self.model.input_shape[1])

    @cached_property
    def engine(self) -> Engine:
        return build_engine(with_features(self.model), "openvino", threads=self.threads)

    @cached_property
    def task(self) -> Task:
        """The run's films, as its training had them."""
        cohort, pixels = decode_cohort(self.run.cohort, self.films, size=self.size, cache=None,
                                       workers=self.threads)
        return Task(cohort=cohort, pixels=pixels, members=(), size=self.size, epochs=1, batch_size=32,
                    seed=int(self.run.facts["seed"]), threads=self.threads, engine="openvino")

    @cached_property
    def own(self) -> np.ndarray:
        """Features of the reference rows."""
        task = self.task
        rows = task.reference_rows()
        return scores_and_features(self.engine, task.pixels.at(rows), classes=len(self.run.classes),
                                   rows=np.arange(len(rows)))[1]

    def rows(self, split: str) -> np.ndarray:
        """The places of a split's films among the reference rows."""
        films = [self.task.cohort.radiographs[row] for row in self.task.reference_rows()]
        return np.array([place for place, film in enumerate(films) if film.split == split])

    def seen(self, pictures: Pictures, *, ready: bool = False) -> Seen:
        """What the network sees of pictures, and says; they are prepared first unless they are."""
        reader = film_reader(self.run, self.size)
        met, facts = zip(*(reader.with_facts(picture, ready=ready) for picture in pictures), strict=True)
        pixels = np.stack(met)
        outputs = np.concatenate([self.engine(pixels[start : start + 32])
                                  for start in range(0, len(pixels), 32)])
        classes = len(self.run.classes)
        looks = [self.judge.look(picture).refusal for picture in pictures]
        return Seen(looks, pixels, outputs[:, :classes], outputs[:, classes:], list(facts))


def with_reference(run: Path, copy: Path, films: Path, threads: int) -> Bench:
    """The run, or a copy of it to which is added what a training would keep of its films."""
    found = read_run(run)
    model = load_network(found)
    judge = partial(judge_of, words=language("en"), size=int(model.input_shape[1]))
    bench = Bench(found, judge(found), model, films, threads)
    if found.facts.get("reference"):
        return bench
    shutil.copytree(run, copy)
    trained = Trained(model=bench.model, scores=np.zeros(0), history=[], features=bench.own)
    reference, facts = fit_reference(bench.task, trained)
    assert reference is not None
    write_reference(copy, reference)
    write_json(copy / RUN, {**found.facts, "reference": facts})
    print(json.dumps({name: facts[name] for name in ("novelty", "mirrored")}, indent=1))
    known = read_run(copy)
    return replace(bench, run=known, judge=judge(known))


def read_all(source: Path, names: Sequence[str] = ()) -> Pictures:
    """Every film of an archive, or those of some names."""
    with open_source(source) as opened:
        files = names or [entry.file for entry in opened.entries() if entry.file.lower().endswith(SUFFIXES)
                          and "__MACOSX" not in entry.file]
        return [in_mode(read_film(opened.read(file)), "L") for file in files]


def dicoms(folder: Path) -> dict[str, Pictures]:
    """Legs and adult chests, windowed from end to end."""
    from pydicom import dcmread

    found: dict[str, Pictures] = {"a leg (DICOM)": [], "adult chests (DICOM)": []}
    for path in sorted(folder.glob("*.dcm")):
        film = dcmread(path)
        grey = film.pixel_array.astype(float)
        grey = 255 * (grey - grey.min()) / (grey.max() - grey.min())
        if film.PhotometricInterpretation == "MONOCHROME1" and not path.name.startswith("cr_chest"):
            grey = 255 - grey  # the file named so only says that it were
        name = "a leg (DICOM)" if path.name.startswith("RG3") else "adult chests (DICOM)"
        found[name].append(Image.fromarray(grey.astype(np.uint8)))
    return found


def photographs() -> Pictures:
    """What scikit-image and scikit-learn ship: people, animals, textures, pages, cells, the moon."""
    folders = Path(skimage.data.__file__).parent, Path(sklearn.datasets.__file__).parent / "images"
    pictures = []
    for path in sorted(path for folder in folders for path in folder.iterdir()):
        if path.suffix in (".png", ".jpg"):
            try:
                pictures.append(read_film(path.read_bytes()))
            except FilmError:
                continue
    return pictures


def drawn() -> dict[str, Pictures]:
    """Phantoms of chests and of skin, and pictures of nothing."""
    chests = [Image.fromarray(draw_phantom(("normal", "bacteria", "virus")[seed % 3], patient_seed=seed,
                                           film_seed=seed).film) for seed in range(_DRAWN)]
    skins = [Image.fromarray(draw_skin(("benign", "malignant")[seed % 2], patient_seed=seed,
                                       film_seed=seed).film) for seed in range(_DRAWN)]
    rng = np.random.default_rng(0)
    nothing = [np.full((600, 800), grey) for grey in (0, 40, 128, 255)]
    nothing += [rng.normal(100, spread, (600, 800)) for spread in (1, 3, 40)]
    nothing += [rng.integers(0, 256, (600, 800)), np.tile(np.arange(800) / 3.2, (600, 1))]
    nothing += [cv2.resize(rng.integers(0, 256, (600 // cell, 800 // cell)).astype(float), (800, 600),
                           interpolation=cv2.INTER_CUBIC) for cell in (8, 24, 64)]
    return {"phantoms of chests": chests, "skin lesions, drawn": skins,
            "skin lesions, drawn, made grey": [skin.convert("L") for skin in skins],
            "blank, noise, ramps and clouds": [Image.fromarray(grey.clip(0, 255).astype(np.uint8))
                                               for grey in nothing]}


def tiles(pictures: Pictures) -> Pictures:
    """The quarters of pictures that are large enough."""
    parts = [(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)]
    return [part for picture in pictures for box in parts if min((part := cut(picture, box)).size) >= 100]


def cut(film: Image.Image, box: tuple[float, ...]) -> Image.Image:
    width, height = film.size
    return film.crop((round(box[0] * width), round(box[1] * height), round(box[2] * width),
                      round(box[3] * height)))


def made_small(film: Image.Image, side: int) -> Image.Image:
    factor = side / min(film.size)
    return film.resize((round(film.width * factor), round(film.height * factor)), Image.Resampling.BOX)


def sets(bench: Bench, arguments: argparse.Namespace) -> Iterator[tuple[str, Pictures]]:
    """Pictures by what they are, those that must pass first."""
    if arguments.source:
        test = [film.source for film in bench.run.cohort if film.split == "test"]
        chosen = np.random.default_rng(0).permutation(sorted(test))[:400].tolist()
        yield "test films, from their originals", read_all(arguments.source, chosen)
    if arguments.originals:
        originals = read_all(arguments.originals)
        yield "full-size originals", originals
        yield "full-size originals, 70 px", [made_small(film, 70) for film in originals]
        yield "full-size originals, 40 px", [made_small(film, 40) for film in originals]
        for name, turn in TURNS.items():
            yield f"the same, {name}", [turn(film) for film in originals]
        for name, box in CROPS.items():
            yield f"the same, {name}", [cut(film, box) for film in originals]
    if arguments.dicom:
        yield from dicoms(arguments.dicom).items()
    natural = photographs()
    yield "photographs, textures, pages", natural
    yield "the same, made grey", [picture.convert("L") for picture in natural]
    yield "their quarters, grey", [picture.convert("L") for picture in tiles(natural)]
    yield from drawn().items()


def table_of_codes(bench: Bench, found: Mapping[str, Seen]) -> None:
    """For each set the share that each code refuses, and of what is let through how it is called."""
    columns = [code for code in REFUSALS if code != "unreadable"]
    print(f"\n| pictures | n | {' | '.join(columns)} | answered | of these called {bench.run.positive} | "
          f"said to be mirrored | unlike, asked alone |\n|---|{'---:|' * (len(columns) + 5)}")
    positive = bench.run.classes.index(bench.run.positive)
    for name, (looks, pixels, scores, features, _) in found.items():
        judged = [bench.judge.judge(film, vector) for film, vector in zip(pixels, features, strict=True)]
        codes = [look or verdict.refusal for look, verdict in zip(looks, judged, strict=True)]
        passed = np.array([not code for code in codes])
        called = decide(scores, positive=positive, threshold=bench.run.threshold) == positive
        said = Counter(codes)
        shares = [f"{100 * said[code] / len(codes):.1f}" if said[code] else "" for code in columns]
        answered = f"{100 * passed.mean():.1f}"
        of_these = f"{100 * called[passed].mean():.0f}" if passed.any() else ""
        mirrored = np.mean([verdict.turn == "mirror" for verdict in judged])
        alone = np.mean([verdict.refusal == "unlike" for verdict in judged])
        print(f"| {name} | {len(codes)} | {' | '.join(shares)} | {answered} | {of_these} | "
              f"{100 * mirrored:.1f} | {100 * alone:.1f} |", flush=True)


def mahalanobis(training: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The distance from the nearest class mean under the pooled covariance of Ledoit and Wolf."""
    means = np.stack([training[labels == label].mean(axis=0) for label in np.unique(labels)])
    covariance, _ = ledoit_wolf(training - means[np.searchsorted(np.unique(labels), labels)])
    values, vectors = np.linalg.eigh(covariance)
    whitening = vectors / np.sqrt(np.maximum(values, 1e-12))
    return lambda features: np.min([np.linalg.norm((features - mean) @ whitening, axis=1) for mean in means],
                                   axis=0)


def table_of_distances(bench: Bench, found: Mapping[str, Seen]) -> None:
    """Each distance on the last map's and several depths' features, each at 1 % of validation refused."""
    train, validation, test = (bench.rows(split) for split in ("train", "validation", "test"))
    labels = bench.task.labels[bench.task.reference_rows()[train]]
    last = int(bench.model.layers[-1].get_weights()[0].shape[0])
    columns = {}
    for depth, part in (("last map", np.s_[:, -last:]), ("several depths", np.s_[:, :])):
        own = bench.own[part]
        nearest: Novelty | None = fit_novelty(own[train], labels, own[validation])
        assert nearest is not None
        for method, distance in (("nearest films", nearest.distances),
                                 ("Mahalanobis", mahalanobis(own[train], labels))):
            bound = upper_bound(np.log(distance(own[validation])))
            columns[f"{method}, {depth}"] = {
                "test films": np.mean(np.log(distance(own[test])) > bound),
                **{name: np.mean(np.log(distance(features[part])) > bound)
                   for name, (_, _, _, features, _) in found.items()}}
    print(f"\n| refused, % | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name in next(iter(columns.values())):
        print(f"| {name} | {' | '.join(f'{100 * shares[name]:.1f}' for shares in columns.values())} |")


def table_of_batches(bench: Bench, found: Mapping[str, Seen], repeats: int = 40) -> None:
    """How often batches of 10 and of 40 are said to differ from the run's validation films."""
    assert bench.judge.reference is not None
    space, own = bench.judge.reference.novelty.space, bench.judge.reference.own
    rng = np.random.default_rng(0)
    test = rng.permutation(bench.rows("test"))[:400]
    rows = bench.task.reference_rows()[test]
    likes = {"test films of the run": (bench.own[test], [
        film_facts(bench.task.pixels.film(row), bench.task.cohort.radiographs[row].facts) for row in rows])}
    others = {name: (features, [film_facts(film, facts) for film, facts in zip(pixels, known, strict=True)])
              for name, (_, pixels, _, features, known) in found.items() if len(pixels) >= 40}
    print("\n| batch | differs, of 10 | area | differs, of 40 | area | facts named, of 40 |"
          "\n|---|---:|---:|---:|---:|---|")
    for name, (features, facts) in {**likes, **others}.items():
        cells, named = [], Counter[str]()
        for count in (10, 40):
            differences = []
            for repeat in range(repeats):
                incoming = Reservoir(seed=repeat)
                for place in rng.permutation(len(features))[:count]:
                    coordinates = space.coordinates(features[place][None])[0] / space.spread
                    incoming.add(coordinates, facts[place])
                differences.append(compare(own, incoming, seed=repeat))
            known = [difference for difference in differences if difference]
            cells += [f"{100 * np.mean([difference.differs for difference in known]):.0f} %",
                      f"{np.mean([difference.auc for difference in known]):.3f}"]
            named = Counter(fact.name for difference in known for fact in difference.facts)
        often = ", ".join(f"{fact} {100 * times / repeats:.0f} %" for fact, times in named.most_common(3))
        print(f"| {name} | {' | '.join(cells)} | {often} |", flush=True)


def swing_of_like_batches(bench: Bench, repeats: int = 300) -> None:
    """How much the area of like films swings, over what it would between films that taught nobody."""
    assert bench.judge.reference is not None
    space, own = bench.judge.reference.novelty.space, bench.judge.reference.own.coordinates
    test = space.coordinates(bench.own[bench.rows("test")]) / space.spread
    rng, said = np.random.default_rng(0), []
    for count in (10, 20, 50):
        areas = [told_apart(own, test[rng.permutation(len(test))[:count]], seed=seed)
                 for seed in range(repeats)]
        alone = np.sqrt((1 + 1 / count + 1 / len(own)) / 12 * (1 / count + 1 / len(own)))
        said.append(f"{count}: mean {np.mean(areas):.3f}, {np.std(areas) / alone:.2f} times")
    print(f"\nArea of like batches, and its swing over that of films which taught nobody: {'; '.join(said)}")


def few_validation_films(bench: Bench, repeats: int = 20) -> None:
    """What share of the test films is refused where few validation films fix the threshold."""
    assert bench.judge.reference is not None
    validation, test = (np.log(bench.judge.reference.novelty.distances(bench.own[bench.rows(split)]))
                        for split in ("validation", "test"))
    rng, said = np.random.default_rng(0), []
    for count in (8, 20, 40, 80, len(validation)):
        shares = [np.mean(test > upper_bound(rng.permutation(validation)[:count])) for _ in range(repeats)]
        said.append(f"{count}: {100 * np.mean(shares):.1f}")
    print(f"\nTest films refused, %, by validation films: {'; '.join(said)}")


def costs(bench: Bench, found: Mapping[str, Seen]) -> None:
    """Seconds of scoring with and without features, of fitting, and milliseconds of an answer."""
    pixels, classes = bench.task.pixels, len(bench.run.classes)
    alone = build_engine(bench.model, "openvino", threads=bench.threads)
    rows = bench.task.reference_rows()
    kept: dict[str, np.ndarray] = {}
    works = {"scores": lambda: kept.update(alone=film_outputs(alone, pixels, description="Films")),
             "scores and features": lambda: kept.update(zip(("both", "features"), scores_and_features(
                 bench.engine, pixels, classes=classes, rows=rows), strict=True))}
    seconds = dict(zip(works, in_turns(list(works.values()), 2), strict=True))
    trained = Trained(model=bench.model, scores=kept["both"], history=[], features=kept["features"])
    (seconds["fitting"],) = in_turns([lambda: fit_reference(bench.task, trained)], 1)
    seen = found["test films, as prepared"]
    tested = [film for film in bench.run.cohort if film.split == "test"][:100]
    some = [read_film_file(bench.films / film.file) for film in tested]
    (looking,) = in_turns([lambda: [bench.judge.look(film) for film in some]], 2)
    (judging,) = in_turns([lambda: [bench.judge.judge(*film) for film in
                                    zip(seen.pixels[:100], seen.features[:100], strict=True)]], 2)
    last = bench.own[:, -int(bench.model.layers[-1].get_weights()[0].shape[0]):]
    print(f"\n{len(pixels)} films, seconds: "
          + ", ".join(f"{name} {took:.1f}" for name, took in seconds.items())
          + f"; largest difference of scores {np.abs(kept['alone'] - kept['both']).max():.1g}; "
          f"ms a film: look {10 * looking:.1f}, judge {10 * judging:.1f}; "
          f"channels of the last map that vary: {int((last.std(axis=0) > 1e-6).sum())} of {last.shape[1]}")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--run", type=Path, required=True, help="folder of a run on chest films")
    parser.add_argument("--films", type=Path, help="its prepared films (default: where it found them)")
    parser.add_argument("--source", type=Path, help="the archive that they were prepared from")
    parser.add_argument("--originals", type=Path, help="archive of full-size originals")
    parser.add_argument("--dicom", type=Path, help="folder of DICOM files: legs are called RG3*")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    start_keras(arguments.threads)
    films = arguments.films or Path(read_run(arguments.run).facts["data"]["films"])
    with tempfile.TemporaryDirectory() as temporary:
        bench = with_reference(arguments.run, Path(temporary) / arguments.run.name, films, arguments.threads)
        print(f"{describe_machine()}\n$ {command()}", flush=True)
        test = [read_film_file(films / film.file) for film in bench.run.cohort if film.split == "test"]
        found = {"test films, as prepared": bench.seen(test, ready=True)}
        found |= {name: bench.seen(pictures) for name, pictures in sets(bench, arguments)}
        table_of_codes(bench, found)
        table_of_distances(bench, found)
        table_of_batches(bench, found)
        swing_of_like_batches(bench)
        few_validation_films(bench)
        costs(bench, found)


if __name__ == "__main__":
    main()
