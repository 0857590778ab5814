"""Scores: how near drawn pictures are to real ones."""
