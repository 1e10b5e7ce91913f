"""The project's own files agree with each other, and its doors open quickly from anywhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pneumo_tf.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = ("numpy", "pandas", "PIL", "keras", "tensorflow", "sklearn", "scipy", "matplotlib", "rich")


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_conda_environment_is_in_step_with_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "tranf_learning.yml").read_text(encoding="utf-8"))
    assert environment["name"] == "tf2-gpu"
    packages = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    extras = PROJECT["optional-dependencies"]
    plain = [package for package in PROJECT["dependencies"] if not package.startswith("tensorflow")]
    assert set(packages) == {*extras["gpu"], *plain, *extras["offline"]}


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    for readme in ("README.md", "README.es.md"):
        first_screen = (ROOT / readme).read_text(encoding="utf-8").splitlines()[:45]
        assert "make demo" in "\n".join(first_screen)
        assert "make test" in "\n".join(first_screen)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_door(name: str) -> None:
    assert (ROOT / f"scripts/{name}.py").is_file()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name: str) -> None:
    """What makes --help slow is imports, so their absence is checked and not the clock."""
    code = (f"import sys; from pneumo_tf.cli.{name} import main\n"
            "try: main(['--help'])\nexcept SystemExit: pass\n"
            f"print([m for m in {HEAVY!r} if m in sys.modules])")
    finished = _run("-c", code, cwd=ROOT)
    assert finished.stdout.strip().endswith("[]"), finished.stdout[-300:] + finished.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_doors_open_from_the_root_from_scripts_and_as_a_module(name: str, tmp_path: Path) -> None:
    assert _run(f"scripts/{name}.py", "--help", cwd=ROOT).returncode == 0
    assert _run(f"{name}.py", "--help", cwd=ROOT / "scripts").returncode == 0
    assert _run("-m", "pneumo_tf", name, "--help", cwd=ROOT).returncode == 0


def test_an_unknown_command_is_said_in_one_line() -> None:
    finished = _run("-m", "pneumo_tf", "diagnose", cwd=ROOT)
    assert finished.returncode == 2
    assert finished.stderr.count("\n") == 1
    assert "prepare_pict" in finished.stderr


def test_the_three_commands_work_without_arguments_from_inside_scripts(phantom_films: Path,
                                                                       tmp_path: Path) -> None:
    """As the tutorial types them, in a checkout of which only the code is copied."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    subprocess.run(["cp", "-r", str(ROOT / "pneumo_tf"), str(ROOT / "scripts"), str(ROOT / "pyproject.toml"),
                    str(checkout)], check=True)
    subprocess.run(["cp", "-r", str(phantom_films), str(checkout / "chest_xray")], check=True)
    small = ("-e", "2", "--backbone", "efficientnet_lite0", "--weights", "none", "--image-size", "32")
    environment = {**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    for command in (["prepare_pict.py"], ["get_labels.py"], ["binary_class.py", *small]):
        finished = subprocess.run([sys.executable, *command], cwd=checkout / "scripts", env=environment,
                                  capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
    assert (checkout / "clasificacion/manifest.csv").is_file()
    assert (checkout / "labels/labels.csv").read_text().startswith("id,clase")
    assert (checkout / "model/modelo.h5").is_file()
    assert not (checkout / "scripts/model").exists()


@pytest.mark.parametrize(("name", "extras"), [
    ("demo", ["cpu", "offline"]), ("node", ["offline", "cpu", "serve", "dicom"])])
def test_the_lock_has_everything_by_its_hash_and_names_no_registry(name: str, extras: list[str]) -> None:
    text = (ROOT / f"locks/{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?:|index-url|find-links", text)
    entries = re.findall(r"^(\S+)==(\S+).*?((?:\\\n\s+--hash=sha256:[0-9a-f]{64}\s*?)+)$", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^\S+==", text, re.MULTILINE)) > 50
    locked = {package: Version(version) for package, version, _ in entries}
    optional = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(line for extra in extras for line in optional[extra])]
    for requirement in map(Requirement, wanted):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"make lock: {requirement}, where {version} is locked"


def test_what_the_security_page_points_to_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|locks|models)/[\w/.]+)`", text)
    assert len(named) > 12
    for path in named:
        assert (ROOT / path).exists() or (ROOT / "pneumo_tf" / path).exists(), path
