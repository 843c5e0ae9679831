"""How good a network is likely to be, without training."""
