"""``dseg select``: which layers of a store separate the classes best."""
