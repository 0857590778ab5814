"""Adversarial losses and penalties, from logits to numbers."""
