"""What every room of the engine stands on: devices, seeds, complex helpers."""
