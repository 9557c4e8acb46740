"""Reading a store: maps and feature vectors, of one store or several."""
