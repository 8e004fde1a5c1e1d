"""Array aliases with their axes in words; beartype checks them in the tests."""

from jaxtyping import Bool, Complex64, Float64, Shaped
from numpy import ndarray

Patterns = Shaped[ndarray, "position y x"]
Positions = Float64[ndarray, "position 2"]
Probe = Complex64[ndarray, "mode y x"]
Mask = Bool[ndarray, "y x"]
Object = Complex64[ndarray, "height width"]
Patches = Complex64[ndarray, "position y x"]
