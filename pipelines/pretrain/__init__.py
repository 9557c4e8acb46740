"""``dseg pretrain``: a diffusion model trained on images without labels."""
