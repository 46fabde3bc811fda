"""TODO map of dataset."""
