"""What was measured: the acquisition, its readers, writers and checks. After this room all is pixels and (y, x)."""
