"""How a network is trained, resumed and stored."""
