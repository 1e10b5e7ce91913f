"""Door to doctor: what of this machine matters."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.doctor import main

if __name__ == "__main__":
    raise SystemExit(main())
