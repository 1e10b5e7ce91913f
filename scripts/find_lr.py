"""Door to find_lr: which learning rate suits a recipe."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.find_lr import main

if __name__ == "__main__":
    raise SystemExit(main())
