"""Networks whose activations are features.

`diffusion` takes noised images, `feedforward` images, `generators` the latents of their own images.
"""
