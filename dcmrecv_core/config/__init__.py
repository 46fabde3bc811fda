"""TODO map of config."""
