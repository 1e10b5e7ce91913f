import io

import numpy as np
import pytest
from PIL import Image

from pneumo_tf.errors import FilmError
from pneumo_tf.explain.methods import Finding
from pneumo_tf.explain.pictures import AGAINST, FOR, Picture, note, overlay, panel, write_pictures
from pneumo_tf.report.words import language

FILM = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
VALUES = np.linspace(-1, 1, 600).reshape(20, 30).astype(np.float32)


def finding(verdict: str, method: str = "gradcam", **numbers: object) -> Finding:
    return Finding(VALUES, verdict, {"deletion": 0.25, "insertion": 0.5, **numbers}, method=method)


FINDINGS = [finding("shown"), finding("unstable", "lime-slic", r2=0.5, samples=1000, halves_spearman=0.2)]


@pytest.fixture
def panels(monkeypatch):
    """The pictures that are put into panels, which are not drawn."""

    class Figure:
        def findobj(self, _):
            return []

        def savefig(self, path, **_):
            path.write_bytes(b"")

    shown = []
    monkeypatch.setattr("pneumo_tf.explain.pictures.panel",
                        lambda pictures, **_: shown.extend(pictures) or Figure())
    return shown


def write(folder, findings=FINDINGS, lang="en", **options):
    write_pictures(folder, FILM, findings, words=language(lang), title="A film", explained="SICK", **options)


def test_each_method_has_its_overlay_and_all_share_a_panel(tmp_path):
    write(tmp_path / "film")
    written = {path.name for path in (tmp_path / "film").iterdir()}
    assert written == {"gradcam.png", "lime-slic.png", "panel.png"}
    with Image.open(tmp_path / "film/gradcam.png") as image:
        np.testing.assert_array_equal(np.asarray(image), overlay(FILM, VALUES))


@pytest.mark.parametrize(("verdict", "said"), [
    ("unstable", "too unstable to show"), ("unfaithful", "doesn't follow the network"),
    ("constant", "without content: the same everywhere"), ("blank", "without content: the film is blank")])
def test_what_is_not_shown_says_why_and_leaves_its_colours_out(tmp_path, panels, verdict, said):
    write(tmp_path, [finding("shown"), finding(verdict, "lime-slic")])
    titles = {picture.title: picture for picture in panels}
    np.testing.assert_array_equal(titles["LIME, SLIC"].image, FILM)
    assert titles["LIME, SLIC"].note.startswith(said)
    assert not titles["LIME, SLIC"].has_scale
    assert (titles["Grad-CAM"].image != FILM).any()


def test_agreement_and_figures_stand_under_every_picture():
    lines = note(finding("shown", "lime-slic", r2=0.5, samples=1000, halves_spearman=0.9, mass_inside=0.31,
                         points_inside=True), language("en")).split("\n")
    assert lines == ["R² 0.50, 1,000 samples, halves agree 0.90", "deletion 0.25, insertion 0.50",
                     "31% inside the lesion, points there: ✓"]


def test_a_picture_that_lies_beside_the_lungs_has_a_caution():
    notes = [note(finding("shown", "gradcam", mass_in_lungs=mass, lungs_share=0.45, beside_lungs=mass < 0.4),
                  language("en")).split("\n") for mass in (0.6, 0.2)]
    assert notes[0][-1] == "60% in the lungs, which are 45% of the film"
    assert notes[1][-2:] == ["20% in the lungs, which are 45% of the film",
                             "caution: it looks beside the lungs"]


def test_a_lesion_is_drawn_where_it_is_known(tmp_path, panels):
    lesion = np.zeros((20, 30), bool)
    lesion[5:15, 5:15] = True
    write(tmp_path, lang="es", lesion=lesion)
    assert [picture.title for picture in panels[:2]] == ["Imagen", "Lesión verdadera"]


def test_a_method_without_a_name_in_the_language_is_called_by_its_own(tmp_path, panels):
    write(tmp_path, [finding("shown", "saliency")])
    assert panels[1].title == "saliency"


def test_where_a_map_says_nothing_the_film_stays_as_it_is():
    np.testing.assert_array_equal(overlay(FILM, np.zeros((20, 30))), FILM)


def test_for_is_orange_and_against_is_blue_and_the_film_shows_through():
    values = np.zeros((20, 30))
    values[0, 0], values[1, 1] = 1, -1
    drawn = overlay(FILM, values)
    assert drawn.dtype == np.uint8
    np.testing.assert_allclose(drawn[0, 0], 0.3 * FILM[0, 0] + 0.7 * np.array(FOR), atol=0.5)
    np.testing.assert_allclose(drawn[1, 1], 0.3 * FILM[1, 1] + 0.7 * np.array(AGAINST), atol=0.5)


@pytest.mark.parametrize("matrix", [
    [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],   # protanopia
    [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],    # deuteranopia
    [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],   # tritanopia
])
def test_the_two_colours_stay_apart_for_the_colour_blind(matrix):
    """Machado, Oliveira and Fernandes, IEEE TVCG 2009, full severity, on linear light."""
    light = (np.array([FOR, AGAINST]) / 255) ** 2.2
    seen = np.clip(light @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
    assert np.abs(seen[0] - seen[1]).max() > 0.3


@pytest.mark.parametrize("values", [np.zeros((20, 20)), np.full((20, 30), 1.2), np.full((20, 30), np.nan)])
def test_maps_of_another_size_or_range_are_refused(values):
    with pytest.raises(FilmError, match="from -1 to 1"):
        overlay(FILM, values)


def test_a_panel_has_every_picture_its_note_and_one_scale():
    pictures = [Picture(FILM, f"title {number}", f"note {number}") for number in range(6)]
    figure = panel(pictures, title="A film", for_label="SICK", against_label="not SICK")
    figure.savefig(io.BytesIO(), format="png")
    texts = [axes.get_title(loc="left") for axes in figure.axes]
    assert texts[:6] == [picture.title for picture in pictures]
    assert figure.axes[5].get_xlabel() == "note 5"
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()][-1] == "1\nSICK"


def test_films_alone_need_no_scale():
    figure = panel([Picture(FILM, "film", has_scale=False)], title="", for_label="", against_label="")
    assert len(figure.axes) == 1
