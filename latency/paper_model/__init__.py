"""What the paper measured, and which cost model follows from it."""
