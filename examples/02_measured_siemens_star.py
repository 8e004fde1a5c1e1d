# %% [markdown]
# # A measured Siemens star, in Python
#
# 516 frames of 128 x 128 px from the Velociprobe of the Advanced Photon Source. The file does not come with this
# package: it is `tests/data/siemens-star-small.npz.bz2` in the public repository of the [tike
# package](https://github.com/AdvancedPhotonSource/tike), under BSD-3. Download it, and put its path into the
# environment variable `SIEMENS_STAR`. Where the manual was built without the file, the code below stands without
# output.
#
# The run is short, so that it ends within a minute; {doc}`the same scan with the commands </tutorials/siemens-star>`,
# trained for longer, gives the picture there.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from ptycho.acquisition.checks import check
from ptycho.acquisition.readers import read
from ptycho.config.config import ModelConfig, PyTorchExecutionConfig, TrainingConfig
from ptycho.config.refinement import Refinement, Span
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.training.fit import fit

scan = read(Path(os.environ["SIEMENS_STAR"]))
print(scan.n_positions, "patterns of", scan.size, "px;", scan.origin)
for finding in check(scan):
    print("doubtful:", finding)

# %% [markdown]
# ## Train for a few epochs, and let the physics finish
#
# The probe in the file is only a model of the zone plate, so both steps may improve it.

# %%
config = TrainingConfig(ModelConfig(N=scan.size), nepochs=2, probe_trainable=True, output_dir=Path("star"))
trained = fit(config, PyTorchExecutionConfig(accelerator="cpu"), scan)
result = reconstruct(trained.pinn, scan, device=torch.device("cpu"), refinement=Refinement(20, probe=Span()))
print(f"after {result.iterations} iterations: R-factor {result.r_factor:.3f}, deviance {result.deviance:.2f}")

# %%
image = result.final
lit = image.coverage > 0.1 * image.coverage.max()
phase = np.angle(image.object_ * np.exp(-1j * np.angle(image.object_[lit].mean())))
figure, axes = plt.subplots(1, 2, figsize=(8, 3.5))
maps = {"amplitude": np.abs(image.object_), "phase (rad)": phase}
for ax, (title, values) in zip(axes, maps.items(), strict=True):
    low, high = np.percentile(values[lit], (1, 99))
    shown = ax.imshow(np.where(lit, values, np.nan), cmap="gray", vmin=low, vmax=high)
    ax.set_title(title)
    figure.colorbar(shown, ax=ax)
