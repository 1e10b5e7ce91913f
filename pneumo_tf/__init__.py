"""pneumo_tf: teach a network to read diagnostic films, and believe what it tells you.

Importing this package imports nothing heavy; Keras is loaded only by the rooms that learn.
"""

import logging
import os

__version__ = "0.1.0"

# Whoever loads TensorFlow: a person is told what went wrong, not how it was compiled or traced.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
logging.getLogger("tensorflow").addFilter(lambda record: record.levelno >= logging.ERROR)
