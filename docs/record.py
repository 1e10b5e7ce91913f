"""record.py LANG: run a tutorial's commands in an empty checkout, and write what they print below them.

A block of a tutorial is a session: lines that begin with $ are typed, the others are what the commands print,
of which the middle is left out where it is long. The pictures are drawn from what the tutorial made.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = "/home/you/pneumo_tf"  # what stands for the folder that it ran in
SESSION = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
FIRST, LAST = 9, 8  # lines that are kept of a long output


def commands(session: str) -> list[tuple[str, list[str]]]:
    """What is typed in a session, each with the lines that it prints."""
    typed = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    return [(lines[0], lines[1:]) for lines in map(str.splitlines, typed)]


def checkout(folder: Path) -> Path:
    """What a command needs of this project, in a folder of its own."""
    for name in ("pneumo_tf", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def printed(command: str, folder: Path, lang: str) -> list[str]:
    """The lines that a command prints: its error where it ends in one, else those of standard output."""
    environment = {**os.environ, "LC_ALL": f"{lang}.UTF-8", "PYTHONPATH": "", "COLUMNS": "100",
                   "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    finished = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True,
                              text=True, check=False)
    if finished.returncode not in (0, 1, 2) or "Traceback" in finished.stderr:
        raise SystemExit(f"{command}\n{finished.stderr}")
    said = finished.stderr if finished.returncode == 2 else finished.stdout
    lines = [line.rstrip() for line in said.replace(str(folder), HOME).strip().splitlines()]
    return [*lines[:FIRST], "…", *lines[-LAST:]] if len(lines) > FIRST + LAST + 1 else lines


def record(page: Path, folder: Path, lang: str) -> None:
    """Run the sessions of a page one after the other, and write the page anew."""

    def run(session: re.Match[str]) -> str:
        lines = []
        for command, _ in commands(session.group()):
            print(f"$ {command}", flush=True)
            lines += [f"$ {command}", *printed(command, folder, lang)]
        return "\n".join(lines) + "\n"

    page.write_text(SESSION.sub(run, page.read_text(encoding="utf-8")), encoding="utf-8")


def main(lang: str) -> None:
    """Record the tutorial of a language, and draw the pictures of its pages."""
    with tempfile.TemporaryDirectory() as place:
        folder = checkout(Path(place).resolve() / "pneumo_tf")
        record(ROOT / f"docs/{lang}/tutorial.md", folder, lang)
        take_pictures(folder / "model", ROOT / f"docs/{lang}/pictures")


def take_pictures(model: Path, target: Path) -> None:
    """The first screen of the report and the worklist, as Chromium shows them."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    pages = {"report": (model / "report.html", 1160),
             "worklist": (next(model.glob("worklist/*/worklist.html")), 1440)}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
        for name, (path, width) in pages.items():
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.goto(path.as_uri())
            with Image.open(io.BytesIO(page.screenshot())) as picture:
                picture.convert("RGB").save(target / f"{name}.webp", quality=80, method=6)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
