"""The settings there are, one file each."""
