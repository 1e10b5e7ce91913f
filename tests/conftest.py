"""Fixtures named as states: films drawn once for the whole test run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

SHARED = Path(__file__).resolve().parents[2] / "shared"


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
