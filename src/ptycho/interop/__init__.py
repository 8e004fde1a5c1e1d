"""What older clients expect of a scan, in NumPy: their arrays, their groups, their frames and their files."""
