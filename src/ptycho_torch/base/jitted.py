"""What kernels of several rooms compute alike."""

import triton
import triton.language as tl


@triton.jit
def log1p(x):
    """Return log(1 + x), right to rounding also where x is small: what 1 + x loses is added to first order."""
    u = 1 + x
    return tl.log(u) + (x - (u - 1)) * tl.maximum(2 - u, 0.0)
