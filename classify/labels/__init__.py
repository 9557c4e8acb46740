"""Label maps and classes: read, checked, brought to the grid of the features, sampled."""
