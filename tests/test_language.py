"""The terminal speaks Spanish as well: no sentence is missing, left over or taken for another."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import count, product
from pathlib import Path
from string import Formatter

import pytest
from rich.console import Console

from pneumo_tf import language, progress
from pneumo_tf.__main__ import COMMANDS, purpose
from pneumo_tf.cli import command
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.evaluation.figures import FIGURES
from pneumo_tf.language import CATALOGUE, catalogue, counted, matches, speaking, translated, written
from pneumo_tf.storage import _REASONS
from pneumo_tf.studies.doctor import EXTRAS, State

PACKAGE = Path(__file__).resolve().parents[1] / "pneumo_tf"
OF_THE_REPORT = re.compile(r"[a-z_]+(\.[a-z_{}0-9]+)+")  # keys of the report's catalogues
REFUSALS = {key.removeprefix("refusal.") for key in json.loads(
    (PACKAGE / "report/locales/es/refusal.json").read_text(encoding="utf-8"))}
_GAP = None
Parts = tuple[str | None, ...]
Names = dict[str, list[ast.expr]]
# Functions that speak, and which of their arguments they say: places and names.
_SPEAKERS: dict[str, tuple[int | str, ...]] = {
    "say": (0,), "show": (0,), "translated": (0,), "announce": (0,), "progress_bar": (0,), "tell": (0,),
    "add_note": (0,), "counted": (1,), "Finding": (0, 2, 3, "remedy"), "check_known": (0,),
    "find_existing": ("what", "remedy"), "folder_name": ("what",), "in_processes": ("description",),
    "map": (1,), "_refused": (0,), "_unreadable": (0,), "_damaged": (1,), "_other_films": (0,),
    "_inconstant": (1,), "_not_found": (1,), "Outcome": ("why",)}
_ERROR: tuple[int | str, ...] = (0, "received", "remedy")
KNOWN = [*catalogue()[0].values(), *catalogue()[1]]
SPANISH: dict[str, str] = json.loads(CATALOGUE.read_text(encoding="utf-8"))
# What argparse says, and how it and the grid end the help of an option.
ARGPARSE = ["positional arguments", "options", "show this help message and exit", "argument {0}: {1}",
            "expected one argument", "expected at least one argument", "expected at most one argument",
            "the following arguments are required: {0}", "not allowed with argument {0}",
            "ambiguous option: {0} could match {1}", "ignored explicit argument {0}", "{0} (default: {1})"]
# Tables of words that the code says without naming them one by one.
TABLES = [*(part for reason in _REASONS.values() for part in reason), *EXTRAS.values(),
          *(name.replace("_", " ") for name in FIGURES),
          *(state.value for state in State)]
# What the operating system says.
SYSTEM = ["No such file or directory", "Permission denied", "Is a directory", "Connection refused",
          "Address already in use", "No space left on device"]


def helps() -> list[str]:
    """Every text of every command's help."""
    parsers = {module: module.build_parser() for module in COMMANDS.values()}
    said = [text for module, parser in parsers.items() for text in (
        purpose(module), parser.description, parser.epilog,
        *(text for group in parser._action_groups for text in (group.title, group.description)),
        *(action.help for action in parser._actions))]
    return [text for text in said if text]


def gaps(text: str) -> set[str]:
    return {gap for _, gap, *_ in Formatter().parse(text) if gap is not None}


def spoken(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the key of each text in a module that a person may read."""
    tree = _tree(path)
    tables = _assigned(tree, {})
    for scope in _scopes(tree):
        names = tables | _assigned(scope, tables)
        said = [node for call in _calls(scope) for node in _said(call)]
        if getattr(scope, "name", "") == "act":  # what it gives back is what to do next
            said += [node.value for node in ast.walk(scope) if isinstance(node, ast.Return) and node.value]
        yield from ((node.lineno, key) for node in said for key in _keys(node, names))


@cache
def errors() -> frozenset[str]:
    """Names of PneumoError and its kinds."""
    bases = {node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
             for path in PACKAGE.rglob("*.py")
             for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef)}
    known = {"PneumoError"}
    for _ in bases:
        known |= {name for name, above in bases.items() if above & known}
    return frozenset(known)


def _scopes(tree: ast.Module) -> Iterator[ast.AST]:
    yield tree
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _calls(scope: ast.AST) -> Iterator[ast.Call]:
    """The calls of a scope, without those of the functions in it."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.Call):
            yield node
        if not isinstance(node, ast.FunctionDef):
            yield from _calls(node)


def _said(call: ast.Call) -> Iterator[ast.expr]:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name == "say" and isinstance(call.func, ast.Attribute):
        return  # a catalogue of the report's
    places = _ERROR if name in {*errors(), "error", "__init__"} else _SPEAKERS.get(name, ())
    if name == "MisfitError":
        places = (1, "remedy")
    if name == "map" and getattr(call.args[0], "id", "") != "translated":
        return
    for place in {*places, "description", "remedy"}:
        if isinstance(place, int):
            yield from call.args[place:place + 1]
        else:
            yield from (keyword.value for keyword in call.keywords if keyword.arg == place)


def _assigned(scope: ast.AST, tables: Names) -> Names:
    """What the names of a scope are given, also as the elements of a tuple or the keys of a table."""
    found: Names = {}
    for node in ast.walk(scope) if not isinstance(scope, ast.Module) else scope.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
        if isinstance(node, ast.For | ast.comprehension):
            for element in _elements(node.iter, tables):
                for target, value in _paired(node.target, element):
                    found.setdefault(target, []).append(value)
    return found


def _elements(of: ast.expr, tables: Names) -> list[ast.expr]:
    """What a loop runs over, as far as it is written down."""
    if isinstance(of, ast.Name):
        of = next(iter(tables.get(of.id, [of])))
    return of.elts if isinstance(of, ast.Tuple) else [key for key in of.keys if key] \
        if isinstance(of, ast.Dict) else []


def _paired(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        yield from (pair for each in zip(target.elts, value.elts, strict=True) for pair in _paired(*each))


def _keys(node: ast.expr, names: Names) -> set[str]:
    keys = {key for parts in _texts(node, names) if not re.fullmatch("--[a-z]+", key := _key(parts))}
    return {key for key in keys if re.search(r"[A-Za-z]{2}|e\.g\.", re.sub(r"\{\d+\}", "", key))}


def _key(parts: Parts) -> str:
    numbers, text = count(), ""
    for part, before in zip(parts, ("", *parts), strict=False):
        if part is not _GAP:
            text += part.replace("{", "{{").replace("}", "}}")
        elif before is not _GAP:  # two that touch are one
            text += f"{{{next(numbers)}}}"
    return text


def _texts(node: ast.expr, names: Names) -> list[Parts]:
    """Every text that an expression may be."""
    match node:
        case ast.Constant(value=str(text)):
            return [(text,)]
        case ast.JoinedStr(values=values):
            return [sum(parts, ()) for parts in product(*(_texts(value, names) for value in values))]
        case ast.FormattedValue(value=ast.IfExp() as value):
            return _texts(value, names)
        case ast.FormattedValue(value=ast.Name(id=name)) if isinstance(names.get(name, [None])[0], ast.IfExp):
            return _texts(names[name][0], names)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [a + b for a, b in product(_texts(left, names), _texts(right, names))]
        case ast.IfExp(body=body, orelse=other):
            return _texts(body, names) + _texts(other, names)
        case ast.BoolOp(values=values):
            return [text for value in values for text in _texts(value, names)]
        case ast.Name(id=name) if name in names:
            rest = {other: values for other, values in names.items() if other != name}
            return [text for value in names[name] for text in _texts(value, rest)]
        case ast.Call(func=ast.Name(id="choose_from")):
            return [("Choose one of: ", _GAP, "."), ("Did you mean ", _GAP, "? Choose one of: ", _GAP, ".")]
        case ast.Subscript(value=ast.Name(id=name)) if isinstance(names.get(name, [None])[0], ast.Dict):
            return [text for value in names[name][0].values for text in _texts(value, names)]
        case ast.Tuple(elts=elements):
            return [text for element in elements for text in _texts(element, names)]
        case ast.Call(func=ast.Attribute(value=value, attr="rstrip")):
            return _texts(value, names)
    return [(_GAP,)]


def all_texts() -> set[str]:
    """Every text with words that stands anywhere in the package, as the catalogue would key it."""
    nodes = (node for path in PACKAGE.rglob("*.py") for node in ast.walk(_tree(path))
             if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp))
    return {key for node in nodes for key in _keys(node, {})} \
        | {key for path in PACKAGE.rglob("*.py") for _, key in spoken(path)}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")),
                         ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_that_a_person_may_read_is_missing(path: Path) -> None:
    known = REFUSALS | {template.english for template in KNOWN}
    missing = {f"{line}: {key}" for line, key in spoken(path)
               if not {key, re.sub(r"\d+", "{0}", key)} & known and not OF_THE_REPORT.fullmatch(key)}
    assert missing == set()


def test_no_help_and_no_word_of_a_table_is_missing() -> None:
    assert [text for text in [*helps(), *ARGPARSE, *TABLES, *SYSTEM]
            if text not in SPANISH and not list(matches(text))] == []


def test_the_catalogue_holds_nothing_that_nobody_says() -> None:
    said = {*all_texts(), *ARGPARSE, *TABLES, *SYSTEM, *(template.english for text in helps()
                                                         for template, _ in matches(text))}
    assert [key for key in SPANISH if key not in said] == []


def test_both_languages_are_about_the_same() -> None:
    assert [key for key, text in SPANISH.items() if gaps(key) != gaps(text)] == []
    assert all(sorted(gaps(key), key=int) == [str(number) for number in range(len(gaps(key)))]
               for key in SPANISH)


def test_no_sentence_is_taken_for_another() -> None:
    confused = []
    for template in KNOWN:
        numbers = count(7)
        filled = template.english.format(*(f"q{next(numbers)}" for _ in range(9)))
        found, _ = next(matches(filled))
        if found is not template:
            confused.append((template.english, found.english))
    assert confused == []


def test_every_translation_can_be_filled() -> None:
    with speaking("es"):
        for key in SPANISH:
            assert "{" not in translated(key.format(*range(1, 9)))


@pytest.mark.parametrize(("environment", "code"), [
    ({"LANG": "es_CO.UTF-8"}, "es"), ({"LANG": "en_US.UTF-8"}, "en"), ({"LANG": "C"}, "en"), ({}, "en"),
    ({"LANG": "en_US.UTF-8", "LC_ALL": "es_ES.UTF-8"}, "es"),
    ({"LANG": "es_ES.UTF-8", "LC_MESSAGES": "C.UTF-8"}, "en"),
    ({"LANG": "es_ES.UTF-8", "LC_ALL": ""}, "es"), ({"LANG": "et_EE.UTF-8"}, "en")])
def test_the_locale_chooses_where_nobody_does(environment: dict[str, str], code: str,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (language._CHOSEN, "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language.current() == code


@pytest.mark.parametrize(("words", "code"), [
    (["--lang", "es"], "es"), (["-h", "--lang=es"], "es"), (["--lang"], "en"), (["--lang", "fr"], "en"),
    (["x", "--lang", "en"], "en"), ([], "en")])
def test_an_option_chooses_wherever_it_stands(words: list[str], code: str) -> None:
    assert language.asked_for(words) == code


def test_a_choice_reaches_processes_and_ends_with_the_command() -> None:
    ask = [sys.executable, "-c", "from pneumo_tf.language import current; print(current())"]
    with speaking("es"):
        assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == "es\n"
    assert language.current() == "en"


def test_english_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "catalogue", lambda: pytest.fail("the catalogue was read"))
    assert translated("A training needs at least two classes.") == "A training needs at least two classes."


def test_numbers_and_plurals_are_those_of_the_language() -> None:
    assert (counted(1, "film|films"), counted(2048, "film|films"), written("0.953")) == (
        "1 film", "2,048 films", "0.953")
    with speaking("es"):
        assert (counted(1, "film|films"), counted(2048, "film|films"), written("0.953")) == (
            "1 imagen", "2\u202f048 imágenes", "0,953")
        assert translated("1 repeated, e.g. 'a'") == "1 repetido, p. ej. 'a'"
        assert translated("2 repeated, e.g. 'a'") == "2 repetidos, p. ej. 'a'"
        assert "memoria máxima: 1,25 GiB" in translated("Time: 3 s, peak memory 1.25 GiB")


def test_data_stay_as_they_are() -> None:
    with speaking("es"):
        for text in ("/home/films of a clinic/one", "NORMAL, PNEUMONIA", "films", "A child's folder."):
            assert str(FilmError("Rule.", received=text)) == f"Rule. Recibido: {text}."


def test_an_error_speaks_the_language_in_use() -> None:
    failure = OptionError("The optimizer must be one that this program knows.", received="adm",
                          remedy="Did you mean adam? Choose one of: adam, sgd.")
    with speaking("es"):
        assert str(failure) == ("El valor de «optimizador» debe ser uno de los que conoce este programa. "
                                "Recibido: adm. ¿Quiso decir adam? Elija entre: adam, sgd.")


@pytest.mark.parametrize("words", [
    ["--epocs", "3"], ["-e"], ["-e", "x"], ["-e", "0"], ["--calibration", "plat"], ["--seed", "-1"],
    ["--publish=x"], ["--sensitivity", "2"], ["--minutes", "0"], ["--momentum", "1"], ["--prevalence"],
    ["--operating-point", "youden", "--sensitivity", "0.9"], ["--split", "x"], ["--operating-point", "x"]])
def test_no_english_is_left_in_a_mistake(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS["binary_class"].main([*words, "--lang", "es"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(tuple(f"binary_class.py: error: {start}" for start in (
        "argumento -", "opción ambigua", "argumentos desconocidos")))
    assert not re.search(r"\b(the|must|argument|of|is|needed|mean|could|with|expected|See)\b", said), said


@pytest.mark.parametrize("name", COMMANDS)
def test_no_english_is_left_in_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        COMMANDS[name].main(["--help", "--lang", "es"])
    said = capsys.readouterr().out
    assert said.startswith("uso: ")
    assert "--quiet" in said
    assert not re.search(r"\b(the|of|with|which|default|films? (?!only|solo)\w+ed)\b",
                         said.replace("por defecto", "").replace("film solo", "")), said


def test_whole_commands_are_in_spanish(phantom_films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    prepared, spanish = str(tmp_path / "clasificacion"), ["--lang", "es"]
    source = ["--source", str(phantom_films), "--target", prepared]
    assert COMMANDS["prepare_pict"].main([*source, *spanish]) == 0
    said = capsys.readouterr().out
    assert re.search(r"clase .* imágenes .* pacientes", said)
    assert "encontradas en el origen: 48" in said
    assert f"Escrito en {prepared}\nSiguiente: python " in said
    labels = ["--path", prepared, "--output", str(tmp_path / "labels.csv"), *spanish]
    assert COMMANDS["get_labels"].main([*labels, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["films"] == 48
    assert "Siguiente: python scripts/binary_class.py -e 60" in said.err
    assert COMMANDS["get_labels"].main([*labels, "--quiet"]) == 0
    assert "Siguiente" not in capsys.readouterr().out


def test_quiet_leaves_results_and_json_leaves_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    def act(_: object) -> str:
        language.say("a note")
        language.show("a result")
        language.show_json({"figure": 1})
        return "go on"

    parser = command.build("film.py", "Look.", has_json=True)
    assert command.run(parser, act, ["--quiet"]) == 0
    assert capsys.readouterr() == ("a result\n", "")
    assert command.run(parser, act, ["--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"figure": 1}
    assert said.err == "a note\nNext: go on\n"


def test_bars_and_stages_are_translated_and_keep_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setattr(progress.Progress, "add_task", lambda _, text, **__: said.append(text) or 0)
    with speaking("es"), progress.progress_bar("Reading films", 3):
        pass
    assert said == ["Leyendo las imágenes"]
