"""Fixtures named as states: films drawn once for the whole test run."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    import keras
    from playwright.sync_api import Browser, Page

    from pneumo_tf.evaluation.scores import Scores

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ["PNEUMO_TF_LANG"] = "en"  # whatever the machine speaks

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without these Chromium looks up hosts of its own at every start.
_QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
# WCAG 2.2 A and AA, and what screen readers need beside it.
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

SHARED = Path(__file__).resolve().parents[2] / "shared"
_HERE = {"127.0.0.1", "::1", "localhost", "testserver", None, ""}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the whole come first: they take longest, and files are shared out among processes."""
    items.sort(key=lambda item: len(item.path.parents))


def pytest_collection_finish() -> None:
    """What was imported by now stays: no collection of garbage looks through its million objects again."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Every test runs as on a machine without a network: nothing outside it is looked up or connected to."""
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def only_here(host: Any, *arguments: Any, **options: Any) -> Any:
        if host not in _HERE:
            raise socket.gaierror(socket.EAI_NONAME, f"{host}: the tests have no network")
        return look_up(host, *arguments, **options)

    def only_to_here(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in _HERE:
            raise OSError(errno.ENETUNREACH, f"{address[0]}: the tests have no network")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", only_here)
        patch.setattr(socket.socket, "connect", only_to_here)
        yield


@pytest.fixture(scope="session")
def phantom_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 synthetic films of 36 patients in a chest_xray tree; only to be read."""
    from pneumo_tf.phantoms.write import write_phantoms

    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "set", films=48, patients=36, seed=7)


@pytest.fixture(scope="session")
def prepared_films(phantom_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same films as prepare_pict.py leaves them; only to be read."""
    from pneumo_tf.data.preparation.prepare import prepare

    target = tmp_path_factory.mktemp("prepared") / "clasificacion"
    prepare(phantom_films, target)
    return target


@pytest.fixture(scope="session")
def labels_table(prepared_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their labels.csv; only to be read."""
    from pneumo_tf.data.labels import read_folder

    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    read_folder(prepared_films).write_csv(path)
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real films and weights, where this machine has them."""
    if not SHARED.is_dir():
        pytest.skip("no real films on this machine")
    return SHARED


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; where there is none, an error in CI."""
    from playwright.sync_api import Error, sync_playwright

    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    with sync_playwright() as driver:
        try:
            launched = driver.chromium.launch(executable_path=found, args=_QUIET)
        except Error as failure:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no Chromium on this machine: {str(failure).splitlines()[0]}")
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


@pytest.fixture
def barriers(page: Page) -> Callable[[], list[Any]]:
    """What axe finds in the page that is open: (rule, first place)."""
    from axe_playwright_python.sync_playwright import Axe

    return lambda: [(found["id"], found["nodes"][0]["html"])
                    for found in Axe().run(page, options=_RULES).response["violations"]]


@pytest.fixture(scope="session")
def small_run(prepared_films: Path, labels_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with the run of a small network that was never trained; to be copied."""
    from pneumo_tf.data.labels import load_cohort
    from pneumo_tf.data.splits import split_cohort
    from pneumo_tf.evaluation.scores import Scores
    from pneumo_tf.training.pixels import load_film

    run = tmp_path_factory.mktemp("finished") / "model/runs/small"
    run.mkdir(parents=True)
    cohort = split_cohort(load_cohort(labels_table, prepared_films, extension=None), test_fraction=0.45,
                          validation_fraction=0.5, by="patient", seed=3, keep_test=False)
    cohort.write_csv(run / "split.csv")
    model = _small_network()
    model.save(run / "modelo.keras")
    pixels = np.stack([load_film(prepared_films / film.file, model.input_shape[1]) for film in cohort])
    scores = Scores.of_cohort(cohort, model.predict(pixels, verbose=0), "PNEUMONIA")
    _write_records(run, scores, [film.split for film in cohort], prepared_films)
    return run.parents[1]


def _small_network() -> keras.Model:
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    inputs = keras.Input((48, 48, 3), name="films")
    x = layers.Conv2D(8, 5, 4, activation="relu")(layers.Rescaling(1 / 32, -4)(inputs))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, 2, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax", name="scores")(x))


def _write_records(run: Path, scores: Scores, splits: list[str], films: Path) -> None:
    """What binary_class.py leaves beside the network."""
    from pneumo_tf.data.preparation.record import read_prepared
    from pneumo_tf.evaluation.calibration.calibrators import Temperature
    from pneumo_tf.evaluation.metrics import evaluate
    from pneumo_tf.evaluation.operating_point import choose

    parts = {split: scores.take(np.flatnonzero(np.array(splits) == split))
             for split in ("validation", "test")}
    point, prepared = choose(parts["validation"]), read_prepared(films)
    assert prepared is not None
    facts = {"name": "small", "classes": scores.classes, "positive": scores.positive, "patients_known": True,
             "split_by": "patient", "operating_point": asdict(point), "options": {"lang": "es"},
             "calibration": Temperature.fit(parts["validation"]).to_json(), "data": {"films": str(films)},
             "preparation": {"options": prepared.filters.to_json()}}
    metrics = {split: evaluate(part, point.threshold, resamples=20) for split, part in parts.items()}
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (run / "history.csv").write_text("epoch,loss\n", encoding="utf-8")
    scores.to_predictions(splits, point.threshold).to_csv(run / "predictions.csv", index=False)


@pytest.fixture(scope="session")
def dicom_film() -> Callable[..., bytes]:
    """Makes the bytes of a CR film: grey pixels (H, W), attributes by their names; None leaves one out."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    def make(pixels: np.ndarray, **attributes: object) -> bytes:
        film, file = Dataset(), BytesIO()
        film.file_meta = FileMetaDataset()
        film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        bits = 8 * pixels.itemsize
        told = {"SOPClassUID": ComputedRadiographyImageStorage, "SOPInstanceUID": generate_uid(),
                "StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "Modality": "CR",
                "PatientID": "", "Rows": pixels.shape[0], "Columns": pixels.shape[1], "SamplesPerPixel": 1,
                "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": bits, "BitsStored": bits,
                "PixelRepresentation": int(pixels.dtype.kind == "i"), **attributes}
        told.setdefault("HighBit", told["BitsStored"] - 1)
        for name, value in told.items():
            if value is not None:
                setattr(film, name, value)
        film.PixelData = pixels.tobytes()
        film["PixelData"].VR = "OW"
        film.save_as(file, enforce_file_format=True)
        return file.getvalue()

    return make


def _needed(name: str) -> str:
    """A program of Debian's that the tests ask for a second opinion; CI must have it."""
    found = shutil.which(name)
    if not found and os.environ.get("CI"):
        raise FileNotFoundError(f"{name} isn't installed, which .ci/run should have done")
    return found or pytest.skip(f"no {name} on this machine")


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Runs a program of dcmtk, dicom3tools or pixelmed-apps; what it said on both streams."""

    def run(name: str, *arguments: str | Path) -> str:
        # pixelmed's rules are more than recent Java takes unasked; a short run needs no optimiser.
        java = " ".join(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *(
            f"-Djdk.xml.xpath{which}Limit=0" for which in ("ExprOp", "ExprGrp", "TotalOp"))])
        finished = subprocess.run([_needed(name), *map(str, arguments)], capture_output=True, text=True,
                                  errors="replace", check=False,
                                  env={**os.environ, "JAVA_TOOL_OPTIONS": java})
        return finished.stdout + finished.stderr

    return run
