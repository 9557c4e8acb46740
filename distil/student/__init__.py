"""A student on disk, and how it sees images."""
