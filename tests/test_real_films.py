"""The three commands on original films, where this machine has them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from pneumo_tf.data.images import read_film_file

ROOT = Path(__file__).resolve().parents[1]

_STRANGER = """
import json, sys, keras, numpy as np, pandas as pd
run, films, out = sys.argv[1:]
facts = json.load(open(run + "/run.json"))
how = facts["input"]
load = lambda file: keras.utils.img_to_array(keras.utils.load_img(
    films + "/" + file, target_size=(how["height"], how["width"]), interpolation=how["interpolation"]))
pixels = np.stack([load(file) for file in pd.read_csv(run + "/split.csv")["file"][::6]])
whole = keras.models.load_model(run + "/modelo.h5", compile=False)
in_two = keras.models.model_from_json(open(run + "/model.json").read())
in_two.load_weights(run + "/modelo.h5")
np.save(out, [model.predict(pixels, verbose=0) for model in (whole, in_two)])
assert not any(name.startswith("pneumo_tf") for name in sys.modules)
"""


def _run(*command: str, cwd: Path, status: int = 0) -> str:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    finished = subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True,
                              text=True, check=False)
    assert finished.returncode == status, finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def study(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The prepared films and the finished run of 123 original films with InceptionV3."""
    place = tmp_path_factory.mktemp("real")
    films, labels = str(place / "clasificacion"), str(place / "labels.csv")
    originals = str(shared / "data/kermany_fullsize_120.zip")
    _run("scripts/prepare_pict.py", "--source", originals, "--target", films, cwd=ROOT)
    _run("scripts/get_labels.py", "-p", films, "-o", labels, cwd=ROOT)
    _run("scripts/binary_class.py", "-e", "60", "-p", films, "-l", labels, "-o", str(place / "model"),
         "--weights", str(shared / "weights/inception_v3_notop.h5"), cwd=ROOT)
    return place / "clasificacion", next((place / "model/runs").iterdir())


def test_a_copy_among_the_originals_is_counted_once(study: tuple[Path, Path]) -> None:
    films, _ = study
    record = json.loads((films / "prepared.json").read_text())
    assert (record["found"], record["kept"]) == (123, 122)
    assert [film["reason"] for film in record["dropped"]] == ["byte-identical copy"]


def test_real_films_are_told_apart_better_than_by_chance(study: tuple[Path, Path]) -> None:
    test = json.loads((study[1] / "metrics.json").read_text())["test"]
    assert test["figures"]["auc"]["low"] > 0.75


def test_a_fresh_process_with_keras_alone_repeats_the_scores(study: tuple[Path, Path],
                                                             tmp_path: Path) -> None:
    films, run = study
    _run("-c", _STRANGER, str(run), str(films), str(tmp_path / "scores.npy"), cwd=tmp_path)
    expected = pd.read_csv(run / "predictions.csv")[["p_NORMAL", "p_PNEUMONIA"]].to_numpy()[::6]
    for scores in np.load(tmp_path / "scores.npy"):
        np.testing.assert_allclose(scores, expected, atol=1e-4)


CHESTS, LEGS = ("cr_chest_monochrome1", "cr_chest_monochrome2", "rg_chest_jpeg2000"), ("RG3_J2KI", "RG3_J2KR")


@pytest.fixture(scope="module")
def answers(study: tuple[Path, Path], shared: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Of the DICOM samples, of a PNG of what each shows, and of one that is stored as its inverse."""
    incoming = tmp_path_factory.mktemp("incoming")
    for name in (*CHESTS, *LEGS):
        shutil.copy(shared / f"data/dicom/{name}.dcm", incoming)
        read_film_file(incoming / f"{name}.dcm").save(incoming / f"{name}.png")
    inverse = pydicom.dcmread(incoming / f"{CHESTS[1]}.dcm")
    inverse.decompress()
    inverse.PixelData = np.invert(inverse.pixel_array).tobytes()
    inverse.PhotometricInterpretation, inverse.SOPInstanceUID = "MONOCHROME1", "1.2.3"
    inverse.save_as(incoming / "inverse.dcm")
    _run("scripts/predict_pict.py", str(incoming), "--run", str(study[1]), "--put-right",
         "--output", str(incoming.with_suffix(".csv")), cwd=ROOT, status=1)  # not all are judged
    names = {}
    for film in sorted(incoming.glob("*.dcm")):
        uid = str(pydicom.dcmread(film).SOPInstanceUID)
        names[uid if uid not in names else f"{uid} (2)"] = film.name  # two of the samples are called alike
    return pd.read_csv(incoming.with_suffix(".csv"), keep_default_na=False,
                       na_values={"score": ""}).set_index("id").rename(index=names)


def test_chests_are_answered_as_dicom_as_they_are_as_png(answers: pd.DataFrame) -> None:
    scores = answers["score"]
    for chest in CHESTS:
        assert scores[f"{chest}.dcm"] == pytest.approx(scores[f"{chest}.png"], abs=1e-3)
    assert scores["inverse.dcm"] == pytest.approx(scores[f"{CHESTS[1]}.dcm"], abs=1e-3)
    assert "black and white are swapped" in answers["reason"][f"{CHESTS[0]}.dcm"]  # the file is mislabelled


def test_a_leg_is_refused(answers: pd.DataFrame) -> None:
    refusals = {answers["refusal"][f"{leg}.{kind}"] for leg in LEGS for kind in ("dcm", "png")}
    assert refusals == {"not_frontal_chest"}
    assert answers["score"].isna().sum() == 4
