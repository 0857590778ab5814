"""What a run writes and shows while it plays: one class for each file or screen."""
