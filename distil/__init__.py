"""Small networks that learn from an ensemble: networks, data, training, and the student on disk."""
