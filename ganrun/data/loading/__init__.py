"""From a data set to batches: a pure function of the seed and the step."""
