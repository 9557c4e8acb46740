"""Writing a store: planned by one process, filled by many."""
