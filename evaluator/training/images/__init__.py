"""How images become the batches of a training."""
