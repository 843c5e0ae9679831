"""What accuracy follows from 20 to 100 labels."""
