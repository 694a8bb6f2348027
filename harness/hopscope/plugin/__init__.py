"""The pytest surface of Hopscope."""
