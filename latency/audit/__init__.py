"""Which guidelines a foreign model breaks, and what that costs."""
