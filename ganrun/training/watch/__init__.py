"""What can go wrong with a run: one class for each symptom, found in the run's numbers alone."""
