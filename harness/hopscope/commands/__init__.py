"""What the command ``hopscope`` does beyond rendering: labs by hand, runs, schemas. One file each."""
