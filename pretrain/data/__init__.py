"""The images of a run: which can be read, and how each is cut."""
