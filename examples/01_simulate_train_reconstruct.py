# %% [markdown]
# # Simulate, train, reconstruct
#
# The whole job in Python, on a simulated scan whose true object is known. It takes about half a minute on two CPU
# cores. `ptycho demo` does the same at full length, with a page of pictures.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from ptycho.config.config import ModelConfig, PyTorchExecutionConfig, TrainingConfig
from ptycho.config.refinement import Refinement
from ptycho.metrics.summary import compare
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.persistence.bundle import read_bundle, write_bundle
from ptycho_torch.training.fit import fit

# %% [markdown]
# ## A scan
#
# 256 frames of 64 x 64 px, a million photons each, at random positions. The result is an `Acquisition`, the same value
# that `ptycho.acquisition.readers.read` makes of a file.

# %%
scan = simulate(Simulation(N=64, n_positions=256, photons=1e6), np.random.default_rng(0))
print(f"{scan.n_positions} patterns, {scan.counts_per_frame().mean():.3g} counts a frame on average")

figure, (pattern, positions) = plt.subplots(1, 2, figsize=(8, 3.5))
pattern.imshow(np.log10(1 + scan.counts(slice(0, 1))[0]), cmap="inferno")
pattern.set_title("first pattern, log10(1 + counts)")
positions.plot(scan.positions[:, 1], scan.positions[:, 0], ".")
positions.set(title="scan positions", xlabel="x (px)", ylabel="y (px)", aspect="equal")
positions.invert_yaxis()

# %% [markdown]
# ## Train on it
#
# No labels are used: what the network says is sent through the physics of the measurement and compared with the counts.
# `output_dir` takes the curves and checkpoints, and the bundle, which is the trained network with its choices.

# %%
run = Path("example_run")
config = TrainingConfig(ModelConfig(N=scan.size), nepochs=10, output_dir=run)
trained = fit(config, PyTorchExecutionConfig(accelerator="cpu"), scan)
write_bundle(run / "wts.h5.zip", trained.pinn, config)
loss = trained.history["train_loss"]
print(f"loss {loss[0]:.3g} in the first epoch, {loss[-1]:.3g} in the last")

# %% [markdown]
# ## Reconstruct
#
# The network gives one patch for each pattern; patches are stitched, and likelihood iterations finish the object.

# %%
bundle = read_bundle(run)
result = reconstruct(bundle.pinn, scan, device=torch.device("cpu"), refinement=Refinement(20))
print(f"deviance {result.deviance:.3f} a pixel, R-factor {result.r_factor:.4f}, {result.iterations} iterations")

# %% [markdown]
# ## Judge
#
# `compare` first removes what a measurement leaves free: a global phase, a phase ramp, a shift of the object. A phase
# PSNR is taken with peak 1 rad.

# %%
for name, image in {"network alone": result.stitched, "refined": result.final}.items():
    scores = compare(image, scan.object_)
    print(f"{name:13}  amplitude {scores.amplitude_psnr:.1f} dB, phase {scores.phase_psnr:.1f} dB")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.5))
compared = {"truth": scores.reference, "refined": scores.aligned.image}
for ax, (title, image) in zip(axes, compared.items(), strict=True):
    shown = ax.imshow(np.where(scores.mask, np.angle(image), np.nan), cmap="viridis")
    ax.set_title(f"phase, {title} (rad)")
    figure.colorbar(shown, ax=ax)
