"""The training step of a student, and how good it is on examples held out."""
