"""The weights that a training starts from, and what it keeps."""
