"""Door to triage_pict: films in the order in which they should be read."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.triage_pict import main

if __name__ == "__main__":
    raise SystemExit(main())
