"""The network joined with its physics, and how a configuration becomes modules."""
