"""Whether the search finds what the paper says."""
