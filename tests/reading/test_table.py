"""Tables of answers: harmless in a spreadsheet, whole after any kill, never mixed."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from pneumo_tf.errors import OptionError, StorageError
from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.table import COLUMNS, table_at, table_on_screen

ROOT = Path(__file__).resolve().parents[2]
TERMS = {"run": "a run", "classes": ["NORMAL", "PNEUMONIA"], "views": 1}
SURE = Answer("film.png", "PNEUMONIA", 0.9123456789123, None, None, 0.75, 0.5, "", "", 12.3, (0.1, 0.9))
REFUSED = Answer("letter.png", refusal="unreadable", reason="not an image,\n whatever  its name says")


def write(path: Path, *answers: Answer, terms: dict = TERMS) -> None:
    with table_at(path, terms=terms) as table:
        for answer in answers:
            if not table.has(answer.id):
                table.write(answer)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_holds_the_answer_and_empty_cells_what_there_is_not(tmp_path: Path) -> None:
    write(tmp_path / "answers.csv", SURE, REFUSED)
    first, second = rows_of(tmp_path / "answers.csv")
    assert list(first) == list(COLUMNS)
    assert first == {"id": "film.png", "call": "PNEUMONIA", "probability": "0.912345679", "low": "",
                     "high": "", "score": "0.75", "threshold": "0.5", "refusal": "", "reason": "",
                     "ms": "12.3"}
    assert second["reason"] == "not an image, whatever its name says"
    assert (second["call"], second["probability"], second["refusal"]) == ("", "", "unreadable")


def test_json_lines_say_the_same(tmp_path: Path) -> None:
    write(tmp_path / "answers.jsonl", SURE, REFUSED)
    first, second = map(json.loads, (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines())
    assert list(first) == list(COLUMNS)
    assert (first["probability"], first["low"], first["refusal"]) == (0.912345679, None, "")
    assert second["refusal"] == "unreadable"


def test_of_more_than_two_classes_each_has_its_probability(tmp_path: Path) -> None:
    terms = {**TERMS, "classes": ["A", "B", "C"]}
    answer = Answer("film.png", "B", 0.5, score=0.4, probabilities=(0.2, 0.5, 0.3))
    write(tmp_path / "answers.csv", answer, REFUSED, terms=terms)
    first, second = rows_of(tmp_path / "answers.csv")
    assert [first[f"p_{name}"] for name in "ABC"] == ["0.2", "0.5", "0.3"]
    assert [second[f"p_{name}"] for name in "ABC"] == ["", "", ""]


@pytest.mark.parametrize("name", ["=cmd|'/C calc'!A0.png", "+1.png", "-1.png", "@SUM(A1).png"])
def test_no_spreadsheet_computes_a_name_and_a_table_still_goes_on(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        write(tmp_path / "answers.csv", Answer(name, "NORMAL", reason=name))
    row, = rows_of(tmp_path / "answers.csv")
    assert row["id"] == row["reason"] == f"'{name}"
    write(tmp_path / "answers.jsonl", Answer(name, "NORMAL"))
    assert json.loads((tmp_path / "answers.jsonl").read_text())["id"] == name


def test_a_row_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    for path in (tmp_path / "answers.csv", tmp_path / "answers.jsonl"):
        write(path, SURE, REFUSED)
        whole = path.read_bytes()
        for cut in range(1, len(whole), 7):
            path.write_bytes(whole[:cut])
            write(path, SURE, REFUSED)
            assert path.read_bytes() == whole


def test_beside_it_lies_what_it_was_made_by_and_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "answers.csv", SURE, REFUSED)
    content = json.loads((tmp_path / "answers.csv.json").read_text(encoding="utf-8"))
    assert content == {**TERMS, "answered": 1, "refused": {"unreadable": 1}}


@pytest.mark.parametrize(("change", "named"), [({"views": 8}, "views"), ({"run": "another"}, "run")])
def test_answers_of_other_terms_are_never_mixed(tmp_path: Path, change: dict, named: str) -> None:
    write(tmp_path / "answers.csv", SURE)
    before = (tmp_path / "answers.csv").read_bytes()
    with pytest.raises(OptionError, match=rf"differs in {named}\. Name another file with --output"):
        write(tmp_path / "answers.csv", REFUSED, terms={**TERMS, **change})
    assert (tmp_path / "answers.csv").read_bytes() == before


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id,clase\n")
    with pytest.raises(OptionError, match="differs in everything"):
        write(tmp_path / "labels.csv", SURE)
    assert (tmp_path / "labels.csv").read_text() == "id,clase\n"


def test_two_commands_never_write_one_table(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".answers.csv.lock"), pytest.raises(StorageError, match="one command at a time"):
        write(tmp_path / "answers.csv", SURE)


def test_on_the_screen_the_same_rows_appear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table_on_screen(["NORMAL", "PNEUMONIA"], is_json=False).write(SURE)
    write(tmp_path / "answers.csv", SURE)
    assert capsys.readouterr().out == (tmp_path / "answers.csv").read_text(encoding="utf-8")


# Reads films as the command does, in children that are killed one after the other.
_KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from pneumo_tf.evaluation.calibration.calibrators import Temperature
from pneumo_tf.reading.incoming import find_given, opened
from pneumo_tf.reading.predict import Reader
from pneumo_tf.reading.table import table_at
from pneumo_tf.report.words import language
from pneumo_tf.runs.predictor import FilmReader, Predictor

films, output, kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
words, random = language("en"), random.Random(kills)

def brightness(films):
    grey = films.mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - grey, grey], axis=1).astype(np.float32)

def read():
    classes = ("NORMAL", "PNEUMONIA")
    predictor = Predictor(classes, "PNEUMONIA", 0.5, Temperature(), FilmReader(24, None, output), brightness,
                          workers=2)
    with table_at(output, terms={"classes": classes}) as table, opened(find_given([films])) as came:
        new = (film for film in came if not table.has(film.id))
        for answer in Reader(predictor=predictor, words=words).answers(new):
            table.write(answer)

for number in range(kills + 1):
    child = os.fork()
    if not child:
        read()
        os._exit(0)
    if number < kills:
        time.sleep(random.uniform(0, 0.06))
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(output.read_bytes().count(b"\\n") if output.is_file() else 0)
"""


def test_killed_at_ten_random_moments_it_leaves_the_same_table(film_bytes: Callable[..., bytes],
                                                               tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for number in range(240):
        name, data = f"film-{number}.png", film_bytes(random.Random(number).randrange(40, 200), seed=number)
        (tmp_path / "films" / name).write_bytes(data[:200] if number % 9 == 0 else data)
    counts = {}
    for kills in (0, 10):
        said = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "films"),
                               str(tmp_path / f"{kills}.csv"), str(kills)], cwd=ROOT, capture_output=True,
                              text=True, check=True)
        counts[kills] = [int(count) for count in said.stdout.split()]
    assert sum(0 < count < 241 for count in counts[10]) > 2  # killed on the way
    tables = [[{**row, "ms": ""} for row in rows_of(tmp_path / f"{kills}.csv")] for kills in (0, 10)]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 240
