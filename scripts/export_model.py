"""Door to export_model: a network for programs without Keras."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.export_model import main

if __name__ == "__main__":
    raise SystemExit(main())
