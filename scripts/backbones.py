"""Door to backbones: the networks that a training can start from."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.backbones import main

if __name__ == "__main__":
    raise SystemExit(main())
