"""Pictures from plain values, as text: SVG by a small writer of our own. Knows no trace, no run and no file."""
