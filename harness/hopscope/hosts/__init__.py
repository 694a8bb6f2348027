"""How to reach a host."""
