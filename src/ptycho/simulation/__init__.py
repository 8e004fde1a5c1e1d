"""Simulated scans with a known truth: objects, probes, scan patterns, and the counts that a detector would see."""
