"""pneumo_tf: teach a network to read diagnostic films, and believe what it tells you.

Importing this package imports nothing heavy; Keras is loaded only by the rooms that learn.
"""

import os

__version__ = "0.1.0"

# TensorFlow reads it when it is loaded, by whomever: a person is told what matters, not how it was compiled.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
