"""`ganrun plot`: the curves of runs as one figure."""
