"""Photographs of skin, in colour, and four kinds of pictures walk through every command and every page."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pneumo_tf.cli import (
    binary_class,
    evaluate_model,
    explain_pict,
    get_labels,
    predict_pict,
    prepare_pict,
    triage_pict,
)
from pneumo_tf.phantoms.write import write_phantoms

FOUR = ("CNV", "DME", "DRUSEN", "NORMAL")
SMALL = ("--backbone", "efficientnet_lite0", "--weights", "none", "--image-size", "32", "-e", "3", "--recipe",
         "fast", "--threads", "1", "--seed", "1")
CHESTS = re.compile(r"pneumon[iy]|neumon[ií]|\bchest|\blungs?\b|t[oó]rax|pulm[oó]n", re.IGNORECASE)
# What was measured on children's chest films is said as just that.
EVIDENCE = ("children&#39;s chest films", "children's chest films", "radiografías de tórax de niños",
            "radiografías de tórax infantiles")
Say = Callable[..., str]


@pytest.fixture(scope="module")
def skin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 photographs of 60 people."""
    return write_phantoms(tmp_path_factory.mktemp("skin") / "set", films=72, patients=60, seed=5, skin=True)


@pytest.fixture(scope="module")
def four_kinds(skin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in four folders as those of retinal scans, person by person."""
    folder = tmp_path_factory.mktemp("oct") / "OCT"
    for film in sorted(skin.rglob("*.jpeg")):
        kind = FOUR[int(film.name.split("-")[1]) % 4]
        (folder / "train" / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(film, folder / "train" / kind)
    return folder


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command, which must succeed; everything that it said."""

    def run(command: ModuleType, *typed: object) -> str:
        capsys.readouterr()
        code = command.main([str(word) for word in typed])
        said = capsys.readouterr()
        assert code in (0, 1), said.err  # 1 where films were refused, of which a few of any kind are
        return said.out + said.err

    return run


def learn(say: Say, films: Path, place: Path, *more: str, color: bool = False) -> dict[str, str]:
    """What the three commands say."""
    prepared, labels = place / "clasificacion", place / "labels.csv"
    return {"prepare": say(prepare_pict, "--source", films, "--target", prepared, "--workers", "1",
                           *(["--color"] if color else [])),
            "labels": say(get_labels, "-p", prepared, "-o", labels),
            "train": say(binary_class, "-p", prepared, "-l", labels, "-o", place / "model", *SMALL, *more)}


def use(say: Say, films: Path, place: Path, lang: str) -> dict[str, str]:
    """What the commands say that take a run, and every text that lies there then."""
    run, new = next((place / "model/runs").glob("[!.]*")), min(films.rglob("*.jpeg"))
    about = ("--run", run, "--engine", "keras", "--lang", lang)
    said = {"evaluate": say(evaluate_model, *about, "--films", "12", "--views", "2", "--threads", "1"),
            "explain": say(explain_pict, new, *about, "--methods", "gradcam"),
            "predict": say(predict_pict, new, *about),
            "rows": say(predict_pict, films, *about, "-o", place / f"answers.{lang}.csv"),
            "triage": say(triage_pict, films, *about, "-o", place / f"worklist.{lang}")}
    return said | {path.name: path.read_text(encoding="utf-8") for path in place.rglob("*")
                   if path.suffix in (".html", ".csv", ".md", ".json") and path.name != "history.csv"}


def of_chests(texts: dict[str, str]) -> list[str]:
    """Places that speak of chests, but for the evidence that comes from them."""
    found = []
    for name, text in texts.items():
        text = re.sub(r"data:image/[^\"']+", "", text)
        for evidence in EVIDENCE:
            text = text.replace(evidence, "")
        found += [f"{name}: {text[max(0, match.start() - 60):match.end() + 60]}"
                  for match in CHESTS.finditer(text)]
    return found


def test_skin_lesions_are_told_apart_without_a_word_of_chests(skin: Path, tmp_path: Path, say: Say) -> None:
    said = learn(say, skin, tmp_path, "--validation-fraction", "0.25", color=True)
    assert "Looking for MALIGNANT" in said["train"]
    for lang in ("en", "es"):
        texts = said | use(say, skin, tmp_path, lang)
        assert f'lang="{lang}"' in texts["report.html"]
        assert "MALIGNANT" in texts["report.html"]
        for page in ("report.html", "worklist.html"):
            assert len(colourful(texts[page])) > 5
            assert all(colourful(texts[page]))
        assert of_chests(texts) == []


def colourful(page: str) -> list[bool]:
    """Whether each JPEG in a page has colours."""
    found = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    pictures = [Image.open(BytesIO(base64.b64decode(data))).convert("RGB") for data in found]
    return [bool(np.ptp(np.asarray(picture, int), axis=2).max() > 20) for picture in pictures]


def test_the_lung_finder_stays_out_of_the_way(skin: Path, tmp_path: Path, say: Say) -> None:
    """In grey it looks and finds none; no film gets a fact of lungs."""
    for color in (True, False):
        prepared = tmp_path / str(color)
        say(prepare_pict, "--source", skin, "--target", prepared, "--workers", "1", *(["--color"] * color))
        record = json.loads((prepared / "prepared.json").read_text())
        assert record["options"]["fit"] == "thumbnail"
        assert not [column for column in pd.read_csv(prepared / "manifest.csv") if "lungs" in column]


def test_four_kinds_walk_through_every_command(four_kinds: Path, tmp_path: Path, say: Say) -> None:
    texts = learn(say, four_kinds, tmp_path, "--validation-fraction", "0.25") | \
        use(say, four_kinds, tmp_path, "es")
    assert json.loads(texts["run.json"])["classes"] == list(FOUR)
    assert set(pd.read_csv(tmp_path / "answers.es.csv")["call"]) <= set(FOUR)
    assert of_chests(texts) == []
