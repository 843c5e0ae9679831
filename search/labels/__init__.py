"""How trained accuracies become the score."""
