"""Door to get_data: a public archive of films, fetched, checked and unpacked."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.get_data import main

if __name__ == "__main__":
    raise SystemExit(main())
