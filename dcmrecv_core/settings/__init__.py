"""TODO map of settings."""
