"""Metrics: functions from features, logits, labels or pictures to a number, without files or configuration."""
