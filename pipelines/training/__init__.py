"""One training within a given memory, for the commands that train: planned, run, scored."""
