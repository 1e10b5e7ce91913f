"""Door to evaluate_model: how far a trained network's figures hold."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.evaluate_model import main

if __name__ == "__main__":
    raise SystemExit(main())
