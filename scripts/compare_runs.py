"""Door to compare_runs: a grid of trainings on one split -> model/comparisons/NAME/comparison.html."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.compare_runs import main

if __name__ == "__main__":
    raise SystemExit(main())
