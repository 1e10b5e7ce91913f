"""Commands parse, act, and say a mistake in one line."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pneumo_tf.cli import binary_class, command
from pneumo_tf.errors import FilmError

ROOT = Path(__file__).resolve().parents[2]


def parser_with(**option: object) -> command.Parser:
    parser = command.build("film.py", "Look at films.")
    parser.add_argument("--value", **option)  # type: ignore[arg-type]
    return parser


def test_a_command_that_acts_leaves_with_zero() -> None:
    seen: list[argparse.Namespace] = []
    assert command.run(parser_with(default="x"), seen.append, []) == 0
    assert seen[0].value == "x"


def test_a_mistake_is_one_line_on_standard_error_and_two(capsys: pytest.CaptureFixture[str]) -> None:
    def act(_: argparse.Namespace) -> None:
        raise FilmError("Films must be films.", received="a\nletter", remedy="Look again.")

    assert command.run(parser_with(), act, []) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "", "film.py: error: Films must be films. Received: a letter. Look again.\n")


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_in_one_line_that_tells_how_to_go_on(
        signal_number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def act(_: argparse.Namespace) -> None:
        signal.raise_signal(signal_number)

    shell = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job doesn't hear
    try:
        before = signal.getsignal(signal.SIGTERM)
        assert command.run(parser_with(), act, []) == code
        assert capsys.readouterr().err == "film.py: interrupted. Run the same command again to go on.\n"
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGINT, shell)


@pytest.mark.skipif(sys.platform == "win32", reason="a process is sent no signal there")
@pytest.mark.parametrize("door", ["scripts/film.py", "bin/pneumo-tf", "pneumo_tf/__main__.py"])
def test_ctrl_c_while_a_command_is_imported_leaves_no_traceback(tmp_path: Path, door: str) -> None:
    (tmp_path / door).parent.mkdir()
    (tmp_path / door).write_text(
        f"import os, signal, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from pneumo_tf.cli import predict_pict\nos.kill(os.getpid(), signal.SIGINT)\n", encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, str(tmp_path / door)], capture_output=True, text=True, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_a_program_that_only_imports_commands_keeps_its_ctrl_c() -> None:
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_DFL


@pytest.mark.parametrize(("failure", "line"), [
    (KeyboardInterrupt(), "film.py: interrupted. Two epochs are kept.\n"),
    (FilmError("Films must be films."), "film.py: error: Films must be films. Two epochs are kept.\n")])
def test_what_is_kept_ends_the_line(
        failure: BaseException, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    def act(_: argparse.Namespace) -> None:
        failure.add_note("Two epochs are kept.")
        raise failure

    assert command.run(parser_with(), act, []) in (2, 130)
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("failure", [
    MemoryError(), ImportError("cv2.abi3.so: failed to map segment from shared object")])
def test_memory_that_is_used_up_is_one_line_and_two(
        failure: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def act(_: argparse.Namespace) -> None:
        raise failure

    assert command.run(parser_with(), act, []) == 2
    assert re.fullmatch(r"film\.py: error: A command needs more memory than it may take\..*\n",
                        capsys.readouterr().err)


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    def act(_: argparse.Namespace) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command.run(parser_with(), act, [])


def test_an_unknown_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parser_with(), print, ["--colour"]) == 2
    assert capsys.readouterr().err == (
        "film.py: error: unrecognized arguments: --colour. See film.py --help.\n")


def test_help_shows_the_defaults() -> None:
    assert "(default: 7)" in parser_with(default=7, help="how many").format_help()


@pytest.mark.parametrize(("mistyped", "meant"), [
    (["--epocs", "3"], "--epochs"), (["--epocs=3"], "--epochs"),
    (["--kalibration", "platt"], "--calibration"),
    (["--calibration", "Temprature"], "temperature"), (["--split-by", "patients"], "patient"),
    (["--martian"], "")])
def test_a_mistyped_option_or_choice_is_answered_with_the_one_that_was_meant(
        mistyped: list[str], meant: str) -> None:
    with pytest.raises(command.UsageError) as refusal:
        binary_class.build_parser().parse_args(mistyped)
    assert (f"(did you mean {meant}?)" in str(refusal.value)) is bool(meant)


SIGNS = "AUC 0.9 – 1.0 → ≥ 3 ± 1 × 2 · … Neumonía ñ 膜 \udcff"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "cp850", "cp1252", "utf-8"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_no_sign_ends_a_command_on_any_terminal(encoding: str, stream: str) -> None:
    code = ("import sys; from pneumo_tf.cli import command\n"
            f"def act(_): print({SIGNS!r}, file=sys.{stream})\n"
            "sys.exit(command.run(command.build('x.py', ''), act, []))")
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True,
                              env={**os.environ, "PYTHONIOENCODING": encoding})
    said = getattr(finished, stream).decode(encoding)
    if encoding == "ascii":
        assert said.strip() == "AUC 0.9 - 1.0 -> >= 3 +/- 1 x 2 - ... Neumonia n ? ?"
    assert "Neumon" in said


def started(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that starts Keras and says how it computes."""
    code = ("import sys; from pneumo_tf.cli import command\n"
            "def act(_):\n"
            "    command.start_keras(1); import keras\n"
            "    print(keras.config.floatx(), keras.config.image_data_format(), "
            "keras.layers.Dense(1).variable_dtype, keras.backend.backend())\n"
            "sys.exit(command.run(command.build('x.py', ''), act, []))")
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
                          env={**os.environ, "KERAS_HOME": str(home), **environment})


def test_no_settings_of_the_machine_decide_how_keras_computes(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps({
        "floatx": "float16", "epsilon": 1e-3, "image_data_format": "channels_first",
        "backend": "tensorflow"}))
    finished = started(tmp_path)
    assert finished.stdout.split() == ["float32", "channels_last", "float32", "tensorflow"]


@pytest.mark.parametrize(("settings", "environment"), [
    ({"backend": "theano"}, {}), ({}, {"KERAS_BACKEND": "numpy"}), ({"floatx": "float8"}, {})])
def test_a_start_of_keras_that_cant_be_had_is_one_line(
        settings: dict[str, str], environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    finished = started(tmp_path, **environment)
    assert finished.returncode == 2
    assert finished.stderr.count("\n") == 1
    assert "KERAS_BACKEND=tensorflow" in finished.stderr


@pytest.mark.parametrize(("start", "typed"), [
    ("scripts/demo.py", "python scripts/cache.py --clear 'a b'"),
    ("demo.py", "python cache.py --clear 'a b'"),
    ("/x/pneumo_tf/__main__.py", "python -m pneumo_tf cache --clear 'a b'"),
    ("/x/bin/pneumo-tf", "pneumo-tf cache --clear 'a b'"), ("-c", "python scripts/cache.py --clear 'a b'"),
    ("", "python scripts/cache.py --clear 'a b'")])
def test_another_command_is_printed_as_this_one_was_started(
        start: str, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / ("scripts" if start == "demo.py" else ""))
    monkeypatch.setattr(sys, "argv", [start])
    assert command.line("cache", "--clear", "a b") == typed
