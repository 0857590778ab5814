"""`ganrun train`."""
