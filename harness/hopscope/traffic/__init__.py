"""Load on the chain, and what became of each connection."""
