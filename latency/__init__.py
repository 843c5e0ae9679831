"""What a network costs on a device: tables of measured blocks, and how they are made."""
