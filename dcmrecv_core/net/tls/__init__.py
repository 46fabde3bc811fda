"""TODO map of net/tls."""
