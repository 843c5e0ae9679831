"""Which networks can be searched, and how one is written down."""
