"""From patches to the object: cutting, weighted stitching, and the reconstruction that comes of it."""
