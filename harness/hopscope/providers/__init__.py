"""How to get hosts."""
