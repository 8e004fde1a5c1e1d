"""What every room stands on: errors, array aliases, lazy doors, logs."""
