"""Finding networks under budgets, judging them, reporting and exporting the winners."""
