"""The house's rule of who may call whom, read from the imports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    "language": 0, "errors": 0,
    "storage": 1, "progress": 1, "names": 1, "cluster": 1,
    "places": 2, "cohort": 2, "processes": 2,
    "data": 3, "evaluation": 3, "phantoms": 4,
    "models": 5,
    "training": 6,
    "runs": 7,
    "report": 8,
    "explain": 9,
    "reading": 10,
    "studies": 11,
    "library": 12, "cli": 12, "__main__": 13, "scripts": 14,
}
SEPARATE = {frozenset({"data", "evaluation"}), frozenset({"library", "cli"})}
LIGHT = {room for room, floor in FLOORS.items() if floor <= 4}
MAY_NAME_TENSORFLOW = {"pneumo_tf/models/formats.py"}
SOURCES = sorted([*(ROOT / "pneumo_tf").rglob("*.py"), *(ROOT / "scripts").glob("*.py")])


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> list[str]:
    """["pneumo_tf", "data", "labels"] for pneumo_tf/data/labels.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return list(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, module: list[str]) -> Iterator[str]:
    """Dotted names that a file imports anywhere, inside functions too; relative ones made absolute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = ".".join([*module[: len(module) - node.level], node.module or ""] if node.level
                            else [node.module or ""]).strip(".")
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def room(dotted: str) -> str:
    """The room of a dotted name of ours ("data"); empty for the package itself or for foreign names."""
    parts = dotted.split(".")
    if parts[0] == "scripts":
        return "scripts"
    return parts[1] if parts[0] == "pneumo_tf" and len(parts) > 1 and parts[1] in FLOORS else ""


def breaches(source: str, module: list[str]) -> list[str]:
    """Imports that go upward, or between rooms that stay separate."""
    own = room(".".join(module))
    called = {dotted: room(dotted) for dotted in imports(source, module)}
    return [dotted for dotted, other in called.items() if own and other and other != own
            and (FLOORS[other] > FLOORS[own] or frozenset({own, other}) in SEPARATE)]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_downward_only(path: Path) -> None:
    assert breaches(path.read_text(encoding="utf-8"), module_of(path)) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_file_has_a_floor(path: Path) -> None:
    module = module_of(path)
    assert module == ["pneumo_tf"] or room(".".join(module)) in FLOORS


def packages(path: Path) -> set[str]:
    """Packages that a file imports anywhere, ours and others."""
    return {dotted.partition(".")[0] for dotted in imports(path.read_text(encoding="utf-8"), module_of(path))}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_formats_of_exports_name_tensorflow(path: Path) -> None:
    assert "tensorflow" not in packages(path) or name_of(path) in MAY_NAME_TENSORFLOW


def test_who_may_speak_to_a_network_is_known() -> None:
    """Downloads, the worklist's server, the DICOM node and its archive; a new speaker must
    be thought about here."""
    speak = {"requests", "urllib", "http", "socket", "socketserver", "ftplib", "smtplib", "httpx", "pooch",
             "kagglehub", "huggingface_hub", "starlette", "uvicorn", "asyncio",
             "pynetdicom", "dicomweb_client"}
    speakers = {name_of(path) for path in SOURCES if packages(path) & speak}
    assert speakers == {
        "pneumo_tf/models/weights/pretrained.py", "pneumo_tf/models/weights/keras_hub.py",
        "pneumo_tf/data/download.py", "pneumo_tf/reading/server.py", "pneumo_tf/reading/outbox.py",
        "pneumo_tf/cli/triage_pict.py",
        "pneumo_tf/report/sections/comparison.py",  # quotes paths as addresses
    }


@pytest.mark.parametrize("path", [path for path in SOURCES if room(".".join(module_of(path))) in LIGHT],
                         ids=name_of)
def test_the_light_rooms_never_name_keras_even_inside_a_function(path: Path) -> None:
    assert packages(path).isdisjoint({"keras", "tensorflow"})


@pytest.mark.parametrize(("module", "line", "breach"), [
    ("pneumo_tf.data.labels", "from pneumo_tf.cli import command", True),
    ("pneumo_tf.data.labels", "from pneumo_tf.evaluation.metrics import auc", True),
    ("pneumo_tf.evaluation.metrics", "def f():\n    import pneumo_tf.data.labels", True),
    ("pneumo_tf.models.resnet", "from ..training import train", True),
    ("pneumo_tf.models.resnet", "from pneumo_tf import training", True),
    ("pneumo_tf.errors", "from pneumo_tf.cohort import Cohort", True),
    ("pneumo_tf.cohort", "from scripts import get_labels", True),
    ("pneumo_tf.data.labels", "from .patients import owner\nfrom pneumo_tf.cohort import Cohort", False),
    ("pneumo_tf.report.page", "from pneumo_tf.training import recipes\nimport json", False),
    ("pneumo_tf.cli.get_labels", "from pneumo_tf.data import labels", False),
])
def test_the_rule_itself_sees_breaches(module: str, line: str, breach: bool) -> None:
    assert bool(breaches(line, module.split("."))) is breach


def test_the_light_rooms_leave_keras_and_tensorflow_out() -> None:
    modules = [".".join(module_of(path)) for path in SOURCES
               if room(".".join(module_of(path))) in LIGHT]
    script = (f"import sys\nfor name in {modules!r}: __import__(name)\n"
              "print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))")
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert len(modules) > 5
    assert said.stdout == "[]\n"
