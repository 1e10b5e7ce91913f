"""Door to cache: what is kept for later runs, and how to be rid of it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.cache import main

if __name__ == "__main__":
    raise SystemExit(main())
