"""PyTorch: eager, compiled, and on CUDA."""
