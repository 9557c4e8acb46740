"""What formats share: a file that may be of one, masks to write, names of images."""
