"""The loop, what it needs, and what watches it."""
