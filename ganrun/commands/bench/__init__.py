"""`ganrun bench`: images a second, and where the time goes."""
