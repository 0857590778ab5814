"""Data sets: uint8 images, with the facts that networks need. Each kind of data source has its own file."""
