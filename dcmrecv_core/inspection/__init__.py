"""TODO map of inspection."""
