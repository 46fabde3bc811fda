"""TODO map of net/worker."""
