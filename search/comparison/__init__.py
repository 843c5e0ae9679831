"""Whether the paper's order holds on a target."""
