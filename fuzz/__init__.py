SLOWEST, MOST = 20, 4096  # seconds of an input, and MiB of its process
