"""The PyTorch engine of ptychopinn; importable without torch, usable with it."""
