"""The training step: loss, averaged weights, precision, processes."""
