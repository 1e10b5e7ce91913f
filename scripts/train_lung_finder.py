"""Train the lung finder on phantoms and put it in its place: python scripts/train_lung_finder.py [--seed 42].

It takes about five minutes on two cores. The same seed gives the same network on the same machine.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.data.preparation.lungs import NETWORK
from pneumo_tf.models.lung_finder import export_lung_finder
from pneumo_tf.training.lung_finder import train_lung_finder

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=1400)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", type=Path, default=NETWORK)
    typed = parser.parse_args()
    export_lung_finder(train_lung_finder(phantoms=typed.phantoms, steps=typed.steps, seed=typed.seed),
                       typed.output)
