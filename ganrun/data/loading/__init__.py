"""Loading: makes batches from a data set. A batch depends only on the seed and the step."""
