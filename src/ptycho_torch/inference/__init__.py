"""From trained network to object: predict, stitch, refine."""
