"""Networks: plain modules from latents to images, and from images to logits."""
