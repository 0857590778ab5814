"""metrics: numbers about finished pictures."""
