"""A run from its beginning to its end: its folder, its record, how it goes on and stops."""
