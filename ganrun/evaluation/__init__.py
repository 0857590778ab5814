"""Scores: measures of how close generated pictures are to real pictures."""
