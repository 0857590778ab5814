"""Adversarial losses and penalties: functions from the discriminator's logits to a number to minimise."""
