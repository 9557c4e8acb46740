"""The feature store: what is in it, how it is written, read and sampled."""
