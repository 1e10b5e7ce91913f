"""Door to completion: what a shell needs to complete the commands."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.completion import main

if __name__ == "__main__":
    raise SystemExit(main())
