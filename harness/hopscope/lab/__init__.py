"""Hosts and links that are up, and the settings upon them."""
