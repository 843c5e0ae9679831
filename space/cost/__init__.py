"""What a network costs on paper: FLOPs, parameters, G1-G4."""
