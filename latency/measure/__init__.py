"""How a block and a network are timed fairly."""
