"""Doors of the older PyTorch library."""
