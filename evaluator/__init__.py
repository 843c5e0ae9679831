"""How good a network is likely to be: scores that need no training. A score is not an accuracy."""
