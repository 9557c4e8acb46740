"""``dseg info``: what a feature store or a model is."""
