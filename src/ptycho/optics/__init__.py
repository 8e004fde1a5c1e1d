"""Light: geometry, probe, intensity, propagation."""
