"""Door to adapt_pict: a run fitted to a place by labelled films from there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.adapt_pict import main

if __name__ == "__main__":
    raise SystemExit(main())
