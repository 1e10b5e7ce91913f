"""Documents that can't lie: what they type exists, what they show is printed, links lead somewhere."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise, product
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pneumo_tf.__main__ import COMMANDS
from pneumo_tf.cli.command import UsageError

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LANGUAGES = ("en", "es")
MADE = ("commands.md", "library.md")  # by docs/reference.py
GUIDES = [ROOT / "README.md", ROOT / "README.es.md",
          *(path for path in sorted((ROOT / "docs").glob("*/*.md")) if path.name not in MADE)]
PAGES = [path for path in GUIDES if path.parent.name == "en"]
DOCUMENTS = sorted({*GUIDES, *ROOT.glob("*.md"), *(ROOT / "benchmarks").rglob("*.md")})
# What the tutorial runs with here, behind what it types: a small network, few films.
SMALL = {
    "binary_class": "--backbone efficientnet_lite0 --weights none --image-size 32 -e 3 --threads 1 "
                    "--validation-fraction 0.4",
    "evaluate_model": "--films 12 --views 2 --threads 1 --engine keras",
    "explain_pict": "--samples 64 --superpixels 12 --threads 1 --engine keras",
    "predict_pict": "--views 2 --threads 1 --engine keras",
    "triage_pict": "--views 1 --explain 2 --threads 1 --engine keras"}
SLOW = "evaluate_model|explain_pict"  # ten seconds each, so that they run in English alone
DRAWN = ("films=240, patients=160", "films=48, patients=36, seed=7")  # which lie there already


def tokens(path: Path) -> list[Token]:
    parsed = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    return [inner for token in parsed for inner in (token, *(token.children or ()))]


def script(name: str) -> ModuleType:
    """A script of docs/, which is no package."""
    spec = spec_from_file_location(f"docs_{name}", ROOT / f"docs/{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines_of(path: Path) -> Iterator[str]:
    """What a document types, but for what the tutorial runs; a comment ends a line."""
    for token in tokens(path):
        if token.type == "fence":
            assert token.info in ("bash", "console", "python", "text"), f"{path}: a block of {token.info!r}"
        if token.type == "fence" and token.info == "bash":
            text = token.content.replace("\\\n", " ")
            yield from (line.partition(" #")[0].strip() for line in text.splitlines() if line.strip())


def understood(line: str) -> bool:
    """Whether a line can be typed: its command exists and takes its options."""
    words = shlex.split(line.rpartition("|")[2] if "| python" in line else line.rpartition("&& ")[2])
    match words:
        case ["python", "-m", "pneumo_tf", name, *rest]:
            COMMANDS[name].build_parser().parse_args(rest)
        case ["python", path, *rest] if path.startswith("scripts/"):
            COMMANDS[Path(path).stem].build_parser().parse_args(rest)
        case ["python", path, *_] if path.startswith("benchmarks/"):
            return (ROOT / path).is_file()
        case ["python", "-m", "venv", _] | [".", ".venv/bin/activate"]:
            return True
        case ["make", target, *settings]:
            text = (ROOT / "Makefile").read_text(encoding="utf-8")
            return f"\n{target}:" in text and all(f"\n{word.split('=')[0]} ?=" in text for word in settings)
        case ["pip", "install", *_, package]:
            extras = re.findall(r"[\w-]+", package.partition("[")[2])
            return package.startswith((".[", "pneumo_tf[")) and \
                set(extras) <= set(PROJECT["optional-dependencies"])
        case ["conda", "env", "create", "-f", file]:
            return (ROOT / file).is_file()
        case _:
            return False
    return True


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_types_can_be_typed(path: Path) -> None:
    for line in lines_of(path):
        assert understood(line), f"{path}: {line}"


@pytest.mark.parametrize("line", [
    "python scripts/diagnose.py", "python scripts/predict_pict.py a.png --recipe fast", "make tea",
    "brew tea", "pip install 'pneumo_tf[tea]'"])
def test_what_does_not_exist_is_noticed(line: str) -> None:
    with pytest.raises((KeyError, AssertionError, UsageError)):
        assert understood(line)


def test_options_that_documents_name_exist() -> None:
    known = {option for module in COMMANDS.values()
             for option in module.build_parser()._option_string_actions}
    for path in GUIDES:
        for token in tokens(path):
            if token.type == "code_inline":
                named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", token.content))
                assert named <= known, f"{path}: {token.content}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    for readme in ("README.md", "README.es.md"):
        assert f"{name}.py" in (ROOT / readme).read_text(encoding="utf-8")


def outline(path: Path) -> list[tuple[int, ...]]:
    """Of each section its level, code blocks, table rows, points, pictures and links to other pages."""
    parts = re.split(r"^(#+) ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [(len(sign), *(len(re.findall(pattern, text, flags=re.MULTILINE)) for pattern in (
        r"^```", r"^\|", r"^- ", r"^!\[", r"\]\((?!http)")))
            for sign, text in zip(parts[::2], parts[1::2], strict=True)]


def typed(path: Path) -> list[list[str]]:
    """The commands of a document: their names and options, without the paths, which each language names."""
    text = path.read_text(encoding="utf-8").replace("--lang es", "")
    lines = re.findall(r"^(?:\$ )?((?:find|python|make|pip) .*)", text, flags=re.MULTILINE)
    return [re.findall(r"scripts/\w+\.py|(?<= )--?[a-z][\w-]*", line.partition(" #")[0]) for line in lines]


@pytest.mark.parametrize(("english", "spanish"), [
    (ROOT / "README.md", ROOT / "README.es.md"), *((path, ROOT / "docs/es" / path.name) for path in PAGES)],
    ids=lambda path: path.name)
def test_both_languages_have_the_same_sections_and_commands(english: Path, spanish: Path) -> None:
    assert outline(spanish) == outline(english)
    assert typed(spanish) == typed(english)


def test_both_languages_have_the_same_pages() -> None:
    assert [path.name for path in GUIDES if path.parent.name == "es"] == [path.name for path in PAGES]


def anchors(path: Path) -> set[str]:
    """What a link can name behind the # of a document: its headings, as hosts of Markdown spell them."""
    parsed = MarkdownIt("commonmark").parse(path.read_text(encoding="utf-8"))
    headings = [after.content for token, after in pairwise(parsed) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_named_files_exist(path: Path) -> None:
    for token in tokens(path):
        link = str(token.attrGet("href") or token.attrGet("src") or "")
        if link and not re.match(r"https?:|mailto:", link):
            file, _, anchor = link.partition("#")
            target = path.parent / file if file else path
            assert target.exists(), f"{path}: {link}"
            assert not anchor or anchor in anchors(target), f"{path}: {link}"
        if path in GUIDES and token.type == "code_inline" \
                and re.fullmatch(r"(?:benchmarks|docs|locks|notebooks|tests)/[\w./-]+", token.content):
            assert (ROOT / token.content).exists(), f"{path}: {token.content}"


@pytest.mark.parametrize(("lang", "name"), product(LANGUAGES, ("report", "worklist")))
def test_pictures_are_there_and_small(lang: str, name: str) -> None:
    assert 10_000 < (ROOT / f"docs/{lang}/pictures/{name}.webp").stat().st_size < 150_000


class Step(NamedTuple):
    """A command of the tutorial, what the page shows below it, and what it prints."""

    command: str
    shown: list[str]
    printed: list[str]


@pytest.fixture(scope="module", params=LANGUAGES)
def walked(request: pytest.FixtureRequest, phantom_films: Path,
           tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    """The tutorial from top to bottom, in a folder that stands for the project's."""
    lang, record, folder = request.param, script("record"), tmp_path_factory.mktemp("tutorial")
    shutil.copytree(phantom_films.parent, folder / "phantoms")
    page = (ROOT / f"docs/{lang}/tutorial.md").read_text(encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("PNEUMO_TF_LANG")  # the locale decides
        patch.setenv("LC_ALL", f"{lang}.UTF-8")
        patch.setenv("COLUMNS", "100")
        for module in ("places", "runs.folder", "studies.originals"):
            patch.setattr(f"pneumo_tf.{module}.project_root", lambda: folder)
        return [Step(command, shown, walk(command, folder, record.HOME))
                for session in record.SESSION.findall(page) for command, shown in record.commands(session)
                if lang == "en" or not re.search(SLOW, command)]


def walk(command: str, folder: Path, home: str) -> list[str]:
    """What a command of the tutorial prints here, in this process."""
    words, out, err = shlex.split(command), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if words[1] == "-c":
            exec(words[2].replace(*DRAWN), {})
            code = 0
        else:
            name = Path(words[1]).stem
            code = COMMANDS[name].main([*words[2:], *SMALL.get(name, "").split()])
    return (err if code == 2 else out).getvalue().replace(str(folder), home).splitlines()


def shape(line: str) -> str:
    """What of a line hangs neither on numbers nor on what this network makes of films.

    That is the first word of an indented line, and of another all but numbers, names of classes, frames of
    tables and a list of counts at its end.
    """
    if line.startswith("    ") or not line.strip():  # a sentence goes on, where numbers let it break
        return ""
    if line.startswith("  "):
        line = line.split()[0]
    line = re.sub(r"[\u2500-\u257f]", " ", re.sub(r"(?:, [^,\d]+ \d+)+$", "", line))
    line = re.sub(r"\d+ (?:h|min) \d+ (?:min|s)\b", "0 s", re.sub(r"NORMAL|PNEUMONIA", "CLASS", line))
    return " ".join(re.sub(r"[−+-]?\d[\d.,\u202f]*", "#", line).split())


def test_the_tutorial_prints_what_it_shows(walked: list[Step]) -> None:
    """Every line but for its numbers, in the same order."""
    for command, shown, printed in walked:
        rest = iter([shape(line) for line in printed])
        missing = [line for line in shown if shape(line) not in ("", "…") and shape(line) not in rest]
        assert missing == [], "\n".join([f"$ {command}", *printed])


def test_the_tutorial_shows_what_its_commands_print(walked: list[Step]) -> None:
    assert len(walked) >= 8
    assert [command for command, shown, _ in walked if not shown and "write_phantoms" not in command] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of both languages, as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    reference, before = script("reference"), dict(os.environ)
    for lang in LANGUAGES:
        shutil.copy(ROOT / f"mkdocs.{lang}.yml", folder)
        (folder / f"docs/{lang}/commands.md").write_text(reference.commands_page(lang), encoding="utf-8")
        (folder / f"docs/{lang}/library.md").write_text(reference.library_page(lang), encoding="utf-8")
        subprocess.run([Path(sys.executable).with_name("zensical"), "build", "--strict", "--config-file",
                        f"mkdocs.{lang}.yml"], cwd=folder, check=True, capture_output=True)
    os.environ.clear()
    os.environ.update(before)
    return folder / "build/site"


def test_the_site_fetches_nothing_and_leads_everywhere(site: Path) -> None:
    for lang in LANGUAGES:
        pages = list((site / lang).glob("*.html"))
        assert {path.stem for path in pages} >= {path.stem for path in PAGES} | {"commands", "library"}
        for path in pages:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']?(https?:)?//""", text)
            for link in re.findall(r"""<a [^>]*href=["']?([^"'> ]+)""", text):
                if path.name != "404.html" and not re.match(r"https?:|#", link):
                    assert (path.parent / link.partition("#")[0]).exists(), f"{path}: {link}"


def test_a_browser_asks_for_nothing_outside_the_site(site: Path, page) -> None:  # type: ignore[no-untyped-def]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "es/tutorial.html").as_uri())
    page.wait_for_load_state("networkidle")
    assert page.locator("img").count() >= 2
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_the_reference_names_every_command_and_every_door_of_the_library() -> None:
    reference = script("reference")
    told = reference.commands_page("en")
    for name, module in COMMANDS.items():
        assert f"## {name}.py" in told
        assert all(option in told for option in module.build_parser()._option_string_actions)
    from pneumo_tf import library

    names = [name for name, _ in reference.public(library)]
    assert {"learn", "open_run", "Run", "Drawing"} <= set(names)
    assert "keras" not in names
