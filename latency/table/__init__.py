"""What a latency table is, and what it answers. `shipped/` holds the tables of the package."""
