"""Whether G1-G4 hold on a device, and which limits follow."""
