"""From plain config values to objects, and what no run could use."""
