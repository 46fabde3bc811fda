"""TODO map of net/supervisor."""
