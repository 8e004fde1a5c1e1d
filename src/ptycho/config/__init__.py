"""Every human choice: the model, the training, the reconstruction, and the machine that does it."""
