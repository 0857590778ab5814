"""Differentiable augmentations of the images that the discriminator gets."""
