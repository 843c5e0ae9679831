"""How a network is trained, resumed and kept."""
