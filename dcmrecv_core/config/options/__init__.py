"""TODO map of config/options."""
