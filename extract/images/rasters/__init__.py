"""Files of any number of channels and planes, read by rows."""
