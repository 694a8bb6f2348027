"""From capture bytes to columns, flows and a correlated trace. Pure."""
