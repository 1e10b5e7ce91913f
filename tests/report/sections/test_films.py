import base64
import io

import numpy as np
import pytest
from PIL import Image

from pneumo_tf.report.charts.pictures import thumbnails
from pneumo_tf.report.sections import films
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import read_run


def decoded(picture: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2])))


def sample(run):
    return films.sample(run, language("en"))["sample"]


def test_the_sample_shows_every_class_and_is_the_same_each_time(finished_run):
    run = read_run(finished_run)
    first = {label: [film.id for film in shown] for label, shown in sample(run).items()}
    assert {label: len(ids) for label, ids in first.items()} == {"NORMAL": 8, "PNEUMONIA": 8}
    assert first == {label: [film.id for film in shown] for label, shown in sample(run).items()}


def test_many_classes_share_the_room(run_of):
    classes = tuple(f"class-{number:02}" for number in range(12))
    shown = sample(read_run(run_of(classes=classes, per_class=20)))
    assert {len(row) for row in shown.values()} == {4}


def test_thumbnails_are_small_and_keep_their_proportions(finished_run):
    for film in (finished_run.parent / "images").iterdir():
        Image.new("RGB", (900, 600), "grey").save(film)
    film = sample(read_run(finished_run))["NORMAL"][0]
    assert decoded(film.picture).size == (180, 120)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_more_than_eight_bits_are_not_clipped_to_white(finished_run, dtype):
    ramp = np.tile(np.linspace(0, 60000, 64).astype(dtype), (64, 1))
    for film in (finished_run.parent / "images").iterdir():
        Image.fromarray(ramp).save(film, format="TIFF")
    pixels = np.asarray(decoded(sample(read_run(finished_run))["NORMAL"][0].picture))
    assert pixels[:, :4].mean() < 30
    assert 100 < pixels[:, 28:36].mean() < 155
    assert pixels[:, -4:].mean() > 225


def test_the_grid_takes_films_evenly_whatever_the_network_said_of_them(finished_run):
    run = read_run(finished_run)
    names = sorted(run.predictions.loc[run.predictions["split"] == "test", "id"])
    shown = [film.id for film in films.grid(run, language("en"))["grid"]]
    assert len(shown) == 25
    steps = np.diff([names.index(name) for name in shown])
    assert steps.min() >= 1
    assert np.ptp(steps) <= 1


def test_thumbnails_come_by_name_and_are_none_where_a_film_is_gone(finished_run):
    (finished_run.parent / "images" / "NORMAL-1.jpeg").unlink()
    found = thumbnails(read_run(finished_run), ["NORMAL-0", "NORMAL-1", "nobody"])
    assert found["NORMAL-0"].startswith("data:image/jpeg;base64,")
    assert (found["NORMAL-1"], found["nobody"]) == (None, None)
