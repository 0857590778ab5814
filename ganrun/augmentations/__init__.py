"""Differentiable changes of images that a discriminator sees."""
