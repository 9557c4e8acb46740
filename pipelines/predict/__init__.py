"""``dseg predict``: masks for a feature store, a folder or single images."""
