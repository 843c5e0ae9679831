"""What every command needs that knows nothing of networks."""
