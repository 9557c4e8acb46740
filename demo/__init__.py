"""Drawn scenes with exact labels, on which a new user can try everything at once."""
