"""TODO map of hooks."""
