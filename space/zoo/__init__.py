"""Which published networks are known, and what was printed of them."""
