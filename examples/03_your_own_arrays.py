# %% [markdown]
# # From your own arrays to an image
#
# Where no reader knows your file, bring three arrays: the patterns, the positions, and a guess of the probe. Here they
# come from a simulation and are treated as if they had come from a detector.

# %%
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ptycho.acquisition.build import acquisition_from_arrays
from ptycho.acquisition.checks import require
from ptycho.acquisition.writers import write_npz
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.simulation.simulate import Simulation, simulate

measured = simulate(Simulation(N=64, n_positions=100), np.random.default_rng(1))

# %% [markdown]
# ## What the arrays have to be
#
# | array | shape | what it is |
# |---|---|---|
# | patterns | (n, N, N) | counts, or amplitudes; zero frequency in the middle, at index N // 2; N a multiple of 8 |
# | positions | (n, 2) | (y, x) in pixels of the object; +y is down, +x is right, as in an image array |
# | probe | (N, N) or (mode, N, N) | complex; a guess is enough, and training can improve it |
#
# One pixel of the object is wavelength x distance / (N x detector pixel). Metres become pixels by dividing:

# %%
wavelength, distance, detector_pixel = 1.4e-10, 2.0, 75e-6  # m
object_pixel = wavelength * distance / (measured.size * detector_pixel)
stage_metres = measured.positions * object_pixel

patterns = measured.patterns  # (n, N, N) unsigned integers, counts
positions = stage_metres / object_pixel
probe = measured.probe[0]
print(patterns.shape, patterns.dtype, positions.shape, probe.shape)
print(f"{object_pixel * 1e9:.1f} nm a pixel")

# %% [markdown]
# ## One value, checked
#
# `acquisition_from_arrays` decides between counts and amplitude and refuses what can't be meant; `require` refuses a
# scan that can't be reconstructed and says what is doubtful.

# %%
scan = acquisition_from_arrays(patterns, positions, probe)
print(scan.origin)
for finding in require(scan):
    print("doubtful:", finding)
write_npz(Path("mine.npz"), scan)

# %% [markdown]
# ## The same commands as for any scan file


# %%
def ptycho(*words: str) -> None:
    """Run a command as you would type it, and show what it says."""
    print("$ ptycho", *words)
    done = subprocess.run(["ptycho", *words], text=True, capture_output=True, check=True)
    print(done.stdout, done.stderr)


ptycho("inspect", "mine.npz")

# %%
ptycho("train", "mine.npz", "--output_dir", "run", "--nepochs", "10", "--quiet")
ptycho("reconstruct", "run", "mine.npz", "--output_dir", "out", "--refine", "30", "--quiet")

# %%
image = Reconstruction.read(Path("out/reconstruction.npz"))
lit = image.coverage > 0.1 * image.coverage.max()
figure, axes = plt.subplots(1, 2, figsize=(8, 3.5))
maps = {"amplitude": np.abs, "phase (rad)": np.angle}
for ax, (title, values) in zip(axes, maps.items(), strict=True):
    shown = ax.imshow(np.where(lit, values(image.object_), np.nan), cmap="gray")
    ax.set_title(title)
    figure.colorbar(shown, ax=ax)
