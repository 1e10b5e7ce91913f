"""Fixtures named as states: films drawn once for the whole test run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without these Chromium looks up hosts of its own at every start.
_QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
# WCAG 2.2 A and AA, and what screen readers need beside it.
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def phantom_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 synthetic films of 36 patients in a chest_xray tree; only to be read."""
    from pneumo_tf.phantoms.write import write_phantoms

    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "set", films=48, patients=36, seed=7)


@pytest.fixture(scope="session")
def prepared_films(phantom_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same films as prepare_pict.py leaves them; only to be read."""
    from pneumo_tf.data.preparation.prepare import prepare

    target = tmp_path_factory.mktemp("prepared") / "clasificacion"
    prepare(phantom_films, target)
    return target


@pytest.fixture(scope="session")
def labels_table(prepared_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their labels.csv; only to be read."""
    from pneumo_tf.data.labels import read_folder

    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    read_folder(prepared_films).write_csv(path)
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real films and weights, where this machine has them."""
    if not SHARED.is_dir():
        pytest.skip("no real films on this machine")
    return SHARED


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; where there is none, an error in CI."""
    from playwright.sync_api import Error, sync_playwright

    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    with sync_playwright() as driver:
        try:
            launched = driver.chromium.launch(executable_path=found, args=_QUIET)
        except Error as failure:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no Chromium on this machine: {str(failure).splitlines()[0]}")
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


@pytest.fixture
def barriers(page: Page) -> Callable[[], list[Any]]:
    """What axe finds in the page that is open: (rule, first place)."""
    from axe_playwright_python.sync_playwright import Axe

    return lambda: [(found["id"], found["nodes"][0]["html"])
                    for found in Axe().run(page, options=_RULES).response["violations"]]
