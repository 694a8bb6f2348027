"""The chain on EC2: what it should be like, how it is made, looked at, mended and taken away."""
