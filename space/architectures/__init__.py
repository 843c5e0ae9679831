"""Which networks can be searched, and how an architecture is written as text."""
