<<<<<<< HEAD
"""Light: probes, far-field propagation and counts, as plain NumPy; what the tensor engine is held to."""
=======
"""Light: geometry, probe, intensity, propagation."""
>>>>>>> a8c42151227e215f4aed0b2d39387eafc81a38d2
