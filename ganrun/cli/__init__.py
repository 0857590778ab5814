"""From the words of a command line to one checked request."""
