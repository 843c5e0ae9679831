"""How candidates are proposed, kept and bounded."""
