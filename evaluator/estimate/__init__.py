"""What top-1 on ImageNet is a network of the space likely to reach, and how sure is that?"""

RECIPES = ("torchvision", "megvii", "paddle", "gluon", "gluon-b")
"""Names of the published trainings that the estimate knows."""
