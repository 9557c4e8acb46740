"""Batches of feature vectors for training, in orders that are functions of a seed."""
