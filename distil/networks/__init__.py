"""The students: networks from an image of any size to the scores of its pixels."""
