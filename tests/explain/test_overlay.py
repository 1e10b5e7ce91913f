import io

import numpy as np
import pytest

from pneumo_tf.errors import FilmError
from pneumo_tf.explain.overlay import AGAINST, FOR, Picture, overlay, panel, scaled

FILM = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


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


def test_a_map_is_scaled_to_its_largest_size():
    np.testing.assert_allclose(scaled(np.array([[1.0, -4.0]])), [[0.25, -1]])
    assert not scaled(np.zeros((2, 2))).any()


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
