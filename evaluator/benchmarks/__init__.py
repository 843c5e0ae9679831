"""How well a score ranks publicly trained networks."""
