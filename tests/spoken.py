"""What the code says to a person, read from its sources: every text as the catalogue keys it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import count, product
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "pneumo_tf"
_GAP = None
Parts = tuple[str | None, ...]
# Functions that speak, and which of their arguments they say: places and names.
_SPEAKERS: dict[str, tuple[int | str, ...]] = {
    "say": (0,), "show": (0,), "translated": (0,), "announce": (0,), "progress_bar": (0,), "tell": (0,),
    "add_note": (0,), "counted": (1,), "Finding": (0, 2, 3, "remedy"), "check_known": (0,),
    "find_existing": ("what", "remedy"), "folder_name": ("what",), "in_processes": ("description",),
    "film_activations": ("description",), "find_rates": ("description",)}
_ERROR: tuple[int | str, ...] = (0, "received", "remedy")


def spoken(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the key of each text in a module that a person may read."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for scope in _scopes(tree):
        names = _assigned(tree) | _assigned(scope)
        for call in _calls(scope):
            for node in _said(call):
                yield from ((node.lineno, key) for key in _keys(node, names))


@cache
def errors() -> frozenset[str]:
    """Names of PneumoError and its kinds."""
    bases = {node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
             for path in PACKAGE.rglob("*.py")
             for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ClassDef)}
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
    for place in places:
        if isinstance(place, int):
            yield from call.args[place:place + 1]
        else:
            yield from (keyword.value for keyword in call.keywords if keyword.arg == place)


def _assigned(scope: ast.AST) -> dict[str, list[ast.expr]]:
    """What the names of a scope are given."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope) if not isinstance(scope, ast.Module) else scope.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return found


def _keys(node: ast.expr, names: dict[str, list[ast.expr]]) -> set[str]:
    keys = {_key(parts) for parts in _texts(node, names)}
    return {key for key in keys if re.search(r"[A-Za-z]{2}", re.sub(r"\{\d+\}", "", key))}


def _key(parts: Parts) -> str:
    numbers, text = count(), ""
    for part, before in zip(parts, ("", *parts), strict=False):
        if part is not _GAP:
            text += part.replace("{", "{{").replace("}", "}}")
        elif before is not _GAP:  # two that touch are one
            text += f"{{{next(numbers)}}}"
    return text


def _texts(node: ast.expr, names: dict[str, list[ast.expr]]) -> list[Parts]:
    """Every text that an expression may be."""
    match node:
        case ast.Constant(value=str(text)):
            return [(text,)]
        case ast.JoinedStr(values=values):
            return [sum(parts, ()) for parts in product(*(_texts(value, names) for value in values))]
        case ast.FormattedValue(value=ast.IfExp() as value):
            return _texts(value, names)
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
        case ast.Call(func=ast.Attribute(value=value, attr="rstrip")):
            return _texts(value, names)
    return [(_GAP,)]
