"""Door to demo: the whole pipeline on synthetic films, in minutes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.demo import main

if __name__ == "__main__":
    raise SystemExit(main())
