"""The run directory: written below, read above."""
