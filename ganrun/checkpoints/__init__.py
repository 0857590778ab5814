"""The only room that knows what a checkpoint is."""
