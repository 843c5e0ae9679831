"""How networks of the space rank after one short recipe."""
