"""Layers of the features: handcrafted ones, averages of activations, their float16 form."""
