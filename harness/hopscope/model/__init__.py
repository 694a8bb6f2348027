"""Declared things: topologies, addresses, systems under test. Pure."""
