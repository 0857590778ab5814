"""`ganrun apply`: a trained network, used on pictures."""
