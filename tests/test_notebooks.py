"""The notebooks run from top to bottom, and are stored without what they once showed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from pneumo_tf.data.download import unpack

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
SMALL = {
    "quickstart.ipynb": {"OPTIONS": {"recipe": "fast", "backbone": "efficientnet_lite0", "weights": "none",
                                     "image_size": 32, "epochs": 3, "threads": 1}, "LANG": "es"},
    "tarea2.ipynb": {"PESOS_VGG": "none", "PESOS_RESNET": "none", "LADO": 32, "EPOCAS": 1, "LADO_RESNET": 32,
                     "EPOCAS_RESNET": 1, "SINTETICAS": 90, "PERFILADAS": 4, "TRABAJADORES": (0, 1),
                     "VISTAS": 2, "MUESTRAS": 200},
}
PATHS = {"quickstart.ipynb": ("FILMS", "OUTPUT"), "tarea2.ipynb": ("PLACAS", "SALIDA")}


def read(name: str) -> Any:
    return nbformat.read(FOLDER / name, as_version=4)


def run(name: str, place: Path, films: Path | None = None) -> Any:
    """The notebook after its run with small networks, on films or on those that it draws itself."""
    notebook, (source, output) = read(name), PATHS[name]
    values = {**SMALL[name], source: films and str(films), output: str(place)}
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source += "".join(f"\n{key} = {value!r}" for key, value in values.items())
    if output == "SALIDA":
        parameters.source += "\nSALIDA = Path(SALIDA)"
    NotebookClient(notebook, timeout=600, kernel_name="python3",
                   resources={"metadata": {"path": str(FOLDER)}}).execute()
    nbformat.write(notebook, place / name)  # to be looked at
    return notebook


def shown(notebook: Any, kind: str) -> list[Any]:
    """Everything of a kind that the cells put out."""
    return [output["data"][kind] for cell in notebook.cells if cell.cell_type == "code"
            for output in cell.outputs if kind in output.get("data", {})]


@pytest.fixture(autouse=True)
def _this_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_what_it_showed(name: str) -> None:
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    assert {"image/png", "text/html"}.isdisjoint((FOLDER / name).read_text(encoding="utf-8").split('"'))


def test_the_quickstart_is_ten_cells_that_end_in_an_answer(phantom_films: Path, tmp_path: Path) -> None:
    notebook = run("quickstart.ipynb", tmp_path, phantom_films)
    assert len(notebook.cells) == 10
    assert len(shown(notebook, "image/png")) == 3
    assert "No es un producto sanitario" in shown(notebook, "text/plain")[-1]


@pytest.fixture
def real_films(tmp_path: Path) -> Path | None:
    """A folder of 123 original films where this machine has them; None has the notebook draw its own."""
    archive, folder = ROOT.parent / "shared/data/kermany_fullsize_120.zip", tmp_path / "originals"
    if not archive.is_file():
        return None
    unpack(archive, folder)
    return folder


def test_the_assignment_runs_from_its_first_question_to_the_practice(real_films: Path | None,
                                                                     tmp_path: Path) -> None:
    notebook = run("tarea2.ipynb", tmp_path, real_films)
    headings = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for question in ("P1.1", "P1.2", "P1.3", "P1.4", "P2.1", "P2.2", "P2.3", "P2.4", "P2.5", "P2.6", "P3.1",
                     "P3.3", "P3.6", "P3.10", "P3.12", "Bonus", "fastai"):
        assert question in headings
    assert len(shown(notebook, "image/png")) >= 14
    assert len(list((tmp_path / "model/runs").glob("*/modelo.h5"))) == 3
    assert "WARNING:tensorflow" not in str(notebook)


def test_no_notebook_has_logic_of_its_own() -> None:
    """It calls: no classes, no functions but one line of a picture, no loops over films."""
    for name in NOTEBOOKS:
        code = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "code")
        assert code.count("\nclass ") == 0
        assert code.count("def ") <= 1
