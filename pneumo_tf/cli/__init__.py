"""The commands: one module each, with build_parser() and main(argv=None) -> exit code."""

import signal
import sys
from pathlib import Path

_PROGRAM = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
# Ctrl-C while a command is imported, before `command.run` hears it, would be answered by a traceback. What
# only imports commands, as a notebook or another process of a preparation does, keeps its own way.
if (_PROGRAM.parent.name == "scripts" or _PROGRAM.stem == "pneumo-tf"
        or _PROGRAM.parts[-2:] == ("pneumo_tf", "__main__.py")) \
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
