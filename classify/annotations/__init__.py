"""Annotation files of other programs: what they say of each image, in one form (`model`)."""
