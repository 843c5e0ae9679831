"""How a table is measured, resumed and validated."""
