"""What a block is, a chain of blocks, and its torch module."""
