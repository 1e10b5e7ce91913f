from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pneumo_tf.explain.gallery import Explained, note, write_film
from pneumo_tf.explain.methods import Finding
from pneumo_tf.explain.overlay import overlay
from pneumo_tf.report.words import language

FILM = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)
VALUES = np.linspace(-1, 1, 576).reshape(24, 24).astype(np.float32)
CURVES = {"deletion": 0.25, "insertion": 0.5}


def finding(verdict: str, method: str = "gradcam", **numbers: object) -> Finding:
    return Finding(method, VALUES, verdict, {**CURVES, **numbers})


@pytest.fixture
def explained():
    lime = finding("unstable", "lime-slic", r2=0.5, samples=1000, halves_spearman=0.2)
    return Explained("a film/1", FILM, "NORMAL", "PNEUMONIA", "PNEUMONIA", 0.9, [finding("shown"), lime])


def test_overlays_and_panel_lie_in_a_folder_that_any_disk_takes(tmp_path, explained):
    record = write_film(tmp_path, explained, language("en"))
    assert record["panel"] == "a_film_1/panel.png"
    assert (tmp_path / record["panel"]).is_file()
    with Image.open(tmp_path / "a_film_1/gradcam.png") as image:
        np.testing.assert_array_equal(np.asarray(image), overlay(FILM, VALUES))
    assert record["methods"]["gradcam"] == {"verdict": "shown", **CURVES}


def test_what_is_too_unstable_is_said_and_its_colours_are_left_out(tmp_path, explained, monkeypatch):
    shown = []
    monkeypatch.setattr("pneumo_tf.explain.gallery.panel",
                        lambda pictures, **_: shown.extend(pictures) or _Figure())
    write_film(tmp_path, explained, language("en"))
    titles = {picture.title: picture for picture in shown}
    np.testing.assert_array_equal(titles["LIME, SLIC"].image, FILM)
    assert titles["LIME, SLIC"].note.startswith("too unstable to show")
    assert (titles["Grad-CAM"].image != FILM).any()


class _Figure:
    def savefig(self, path, **_):
        path.write_bytes(b"")


def test_agreement_and_figures_stand_under_every_picture():
    lines = note(finding("shown", "lime-slic", r2=0.5, samples=1000, halves_spearman=0.9, mass_inside=0.31,
                         points_inside=True), language("en")).split("\n")
    assert lines == ["R² 0.50, 1,000 samples, halves agree 0.90", "deletion 0.25, insertion 0.50",
                     "31% inside the lesion, points there: ✓"]


def test_a_lesion_is_drawn_where_it_is_known(tmp_path, explained, monkeypatch):
    shown = []
    monkeypatch.setattr("pneumo_tf.explain.gallery.panel",
                        lambda pictures, **_: shown.extend(pictures) or _Figure())
    lesion = np.zeros((24, 24), bool)
    lesion[5:15, 5:15] = True
    write_film(tmp_path, replace(explained, lesion=lesion), language("es"))
    assert [picture.title for picture in shown[:2]] == ["Radiografía", "Lesión verdadera"]
