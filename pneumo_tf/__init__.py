"""pneumo_tf: teach a network to read diagnostic films, and believe what it tells you.

Importing this package imports nothing heavy; Keras is loaded only by the rooms that learn.
"""

__version__ = "0.1.0"
