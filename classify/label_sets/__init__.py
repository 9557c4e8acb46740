"""Label maps from anywhere: which form a folder or file of labels has, told by its content."""
