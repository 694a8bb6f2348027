"""Verdicts over a trace. Pure."""
