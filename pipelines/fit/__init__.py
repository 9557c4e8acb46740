"""``dseg fit``: an ensemble from the labelled images of a feature store."""
