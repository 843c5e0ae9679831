"""What makes a runnable model of a chain of blocks."""
