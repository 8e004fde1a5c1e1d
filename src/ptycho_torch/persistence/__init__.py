"""Trained networks as files that can't run anything."""
