"""Door to get_labels: prepared films -> labels/labels.csv."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.get_labels import main

if __name__ == "__main__":
    raise SystemExit(main())
