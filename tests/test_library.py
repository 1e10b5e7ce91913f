"""The library's door: a run that draws itself."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.library import Drawing, Run, learn, open_run


@pytest.fixture(scope="module")
def run(phantom_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of class folders that nobody prepared; a small network of random weights under a learnt layer."""
    return learn(phantom_films, output=tmp_path_factory.mktemp("notebook") / "model", lang="es", threads=1,
                 recipe="fast", backbone="efficientnet_lite0", weights="none", image_size=32, epochs=4)


def texts(drawing: Drawing) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in drawing.figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("name", ["plot_classes", "plot_curves", "plot_confusion", "plot_roc", "top_losses"])
def test_every_drawing_shows_itself(name: str, run: Run) -> None:
    drawing = getattr(run, name)()
    picture = Image.open(BytesIO(drawing._repr_png_()))
    assert picture.format == "PNG"
    assert min(picture.size) > 200
    assert len(Image.Image.getcolors(picture.convert("RGB"), maxcolors=10**6) or []) > 5


def test_the_confusion_matrix_is_that_of_the_record(run: Run) -> None:
    counts = [str(count) for row in run.folder.test["confusion"] for count in row]
    drawn = [text.splitlines()[0] for text in texts(run.plot_confusion()) if "%" in text]
    assert drawn == counts


def test_the_first_of_the_top_losses_is_the_greatest(run: Run) -> None:
    gravest = run.folder.test["errors"]["top_losses"]
    titles = [text for text in texts(run.top_losses(3)) if "\n" in text]
    assert [title.splitlines()[0] for title in titles] == [film["id"] for film in gravest[:3]]
    assert f"es {gravest[0]['actual']}" in titles[0]


def test_figures_are_a_table_with_intervals(run: Run) -> None:
    table = run.figures
    assert list(table.columns) == ["value", "low", "high"]
    assert table.loc["Sensibilidad", "value"] == run.folder.test["figures"]["sensitivity"]["value"]
    assert (table["low"].dropna() <= table["high"].dropna()).all()


def test_confused_classes_are_counted(run: Run) -> None:
    assert run.most_confused()["films"].sum() == run.folder.wrong


def test_a_film_is_explained_by_its_id_and_by_its_path(run: Run) -> None:
    film = next(film for film in run.folder.cohort if film.split == "test")
    by_id = run.explain(film.id, ["lime-slic"], samples=200, surrogate="tree")
    by_path = run.explain(run.folder.films_folder / film.file, ["lime-slic"], samples=200, surrogate="tree")
    assert by_id._repr_png_() == by_path._repr_png_()
    assert not (run.folder.path / "explanations").exists()


def test_what_cant_be_explained_is_said(run: Run) -> None:
    with pytest.raises(OptionError, match="gradcam"):
        run.explain(run.folder.cohort.ids[0], ["gradcan"])
    with pytest.raises(FilmError):
        run.explain("nobody")


def test_a_new_film_is_read(run: Run, phantom_films: Path) -> None:
    told = run.predict(min(phantom_films.rglob("*.jpeg")))
    assert told.answer.call in run.folder.classes
    assert told.answer.call in repr(told)


def test_a_run_is_opened_again_in_another_language(run: Run, tmp_path: Path) -> None:
    again = open_run(run.folder.path)
    assert "Sensitivity" in again.figures.index
    assert again.plot_confusion().save(tmp_path / "confusion.png").stat().st_size > 1000
    assert again.report.is_file()
