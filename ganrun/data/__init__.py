"""Datasets: images in memory as uint8, one file a source, with the facts that networks need."""
