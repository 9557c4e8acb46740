"""Images on disk to network input."""
