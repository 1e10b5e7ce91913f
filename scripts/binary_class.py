"""Door to binary_class: train a classifier on labelled films, evaluate it, report it and export it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.binary_class import main

if __name__ == "__main__":
    raise SystemExit(main())
