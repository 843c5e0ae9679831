"""What a recipe is."""
