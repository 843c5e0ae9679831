"""Networks that a training learns from."""
