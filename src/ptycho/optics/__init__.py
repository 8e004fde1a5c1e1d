"""Light: probes, far-field propagation and counts, as plain NumPy; what the tensor engine is held to."""
