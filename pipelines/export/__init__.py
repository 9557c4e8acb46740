"""``dseg export``: a student as a file for other programs."""
