"""Door to predict_pict: what a run says of new films."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.cli.predict_pict import main

if __name__ == "__main__":
    raise SystemExit(main())
