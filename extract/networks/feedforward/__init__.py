"""Networks that take the image as it is: vision transformers and residual networks."""
