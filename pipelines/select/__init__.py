"""``dseg select``: which layers of a store carry the classes."""
