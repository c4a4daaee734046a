"""Where trials run: executors shaped like those of `concurrent.futures`."""
