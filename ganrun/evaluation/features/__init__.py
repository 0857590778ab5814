"""Feature networks for the scores, each with a name and a hash of its weights."""
