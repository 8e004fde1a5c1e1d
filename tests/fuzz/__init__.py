"""Hostile input: seeds, what is done to them, and the run that counts what became of it."""
