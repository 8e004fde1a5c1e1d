"""Doors of the PyTorch engine."""
