"""features: networks that pictures are compared by, each with a name and a hash of its weights."""
