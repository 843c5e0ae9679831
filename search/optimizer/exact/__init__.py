"""The best network of a space, proven: bounds by prices, then every path that they leave."""
