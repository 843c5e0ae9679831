"""Which steps make one search, in which order."""
