"""From scans and groups to tensors: what one step of training sees."""
