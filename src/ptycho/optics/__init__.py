"""Geometry, probe, counts and amplitude, and the forward model in NumPy."""
