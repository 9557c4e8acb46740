"""Networks whose activations are features: `diffusion` takes noise, `feedforward` none."""
