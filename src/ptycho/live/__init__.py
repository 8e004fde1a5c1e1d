"""What a run says of itself while it works: a line on the terminal, a page in a browser."""
