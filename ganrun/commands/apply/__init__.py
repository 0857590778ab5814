"""`ganrun apply`: a trained network, applied to pictures."""
