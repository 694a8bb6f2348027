"""Renderers of a run directory."""
