"""What an op is, and how ops join."""
