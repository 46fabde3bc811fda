"""TODO map of storage."""
