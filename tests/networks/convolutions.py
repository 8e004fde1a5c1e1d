"""What tests of convolutions by kernels share: programs that compare them with plain operations."""

from torch.utils._python_dispatch import TorchDispatchMode

# A stride is set by whoever goes on.
DRAWN = """
import sys, torch
from torch.nn import functional
from ptycho_torch.networks import tiles

device, channels, channels_out = sys.argv[1], *map(int, sys.argv[2:])
# So few that each has several blocks.
tiles.PROGRAMS = 3
# The interpreter multiplies the bits of bfloat16 as if they were whole numbers.
short = torch.float16 if device == "cpu" else torch.bfloat16
torch.manual_seed(0)

def drawn(whole, batch, *sides):
    # Images, the slope of something in what they become, a weight and a bias: whole numbers, or what 8 bits hold.
    seen, found = (batch, channels, *sides), (batch, channels_out, *(side // stride for side in sides))
    sizes = seen, found, (channels_out, channels, 3, 3), (channels_out,)
    parts = [torch.randint(-1, 2, size).float() if whole else torch.randn(size) for size in sizes]
    parts[2] /= 1 if whole else 3 * channels**0.5
    parts = [part.to(torch.bfloat16).to(device) for part in parts]
    images, slope = (part.to(short, memory_format=torch.channels_last) for part in parts[:2])
    return images, slope, parts[2].float(), parts[3].float()

def plain(images, weight, bias):
    return functional.conv2d(images, weight.to(images.dtype), bias.to(images.dtype), stride=stride, padding=1)

def results(convolve, images, slope, *weights):
    leaves = [part.detach().requires_grad_() for part in (images, *weights)]
    found = convolve(*leaves)
    found.backward(slope)
    return [part.detach().double() for part in (found, *(leaf.grad for leaf in leaves))]

def doubled(parts):
    return [part.double() for part in parts]
"""
# Of a way to convolve, the kernels that it uses, and shapes: borders in the middle of a block, rows that fill none, an
# image alone, and many.
EXACT = """
for shape in SHAPES:
    given = images, slope, weight, bias = drawn(True, *shape)
    exact = [part.round() for part in results(plain, *doubled(given))]
    assert all(torch.equal(*pair) for pair in zip(results(convolve, *given), exact)), shape
    # However the axes are stored.
    others = images.contiguous(), slope.contiguous(), weight, bias
    assert all(torch.equal(*pair) for pair in zip(results(convolve, *others), exact)), shape
    forth, back = convolve(images, weight, 0 * bias), kernels.image_slope(slope, weight)
    assert (forth.double() * slope.double()).sum() == (images.double() * back.double()).sum(), shape
print("same")
"""
ROUNDED = """
given = drawn(False, 3, 24, 24)
exact, theirs = results(plain, *doubled(given)), results(plain, *given)
ours, again = (results(convolve, *given) for _ in range(2))
for mine, same, other, true in zip(ours, again, theirs, exact):
    assert torch.equal(mine, same)
    assert (mine - true).abs().max() <= 2 * (other - true).abs().max() + 1e-6 * true.abs().max()
print("same")
"""
# Many images are read in long blocks, few in short ones; of both the last may not be full.
BLOCKS = """
for sides in ((24, 24), (40, 8)):
    images, slope, weight, bias = drawn(False, 5, *sides)
    found, rows = [], set()
    for tiles.PROGRAMS in (1, 1000):
        rows.add(tiles.split(*slope.shape[::2], slope.shape[3], 64)[1])
        found.append((convolve(images, weight, bias), kernels.image_slope(slope, weight)))
    assert len(rows) == 2
    assert all(torch.equal(*pair) for pair in zip(*found)), sides
print("same")
"""


class Operations(TorchDispatchMode):
    """Keeps the names of the operations that are done."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.name())
        return function(*args, **(kwargs or {}))
