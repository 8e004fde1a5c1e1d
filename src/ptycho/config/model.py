"""Choices about the network and about the physics that it is joined with."""

from dataclasses import dataclass
from typing import Literal

Architecture = Literal["lean", "unrolled", "cnn"]
Levels = Literal["slim", "even"]


@dataclass(slots=True)
class ModelConfig:
    """The network and the physics around it.

    Values may be assigned after construction (older clients construct with ``N=0`` and fill it in when the data are
    known), so nothing is checked here: `ptycho.config.validate` checks when a verb or a door starts.

    Attributes
    ----------
    N
        Side of a diffraction pattern, px; a multiple of 8, at least 32.
    gridsize
        A group has gridsize^2 overlapping scan positions, gridsize at least 1; 1 looks at every pattern alone.
    n_filters_scale
        Multiplies the number of channels of the "cnn" network; at least 1.
    model_type
        "pinn" learns from diffraction patterns alone; "supervised" from known patches (Y or label in the scan's file,
        else cut from its objectGuess), by the error of their exit waves: the weights and modes of the losses in counts,
        object_big and probe_trainable are then not read.
    architecture
        "lean": residual U-Net with attention on the coarsest grid; "unrolled": the same body, which goes over the
        object several times and sees the probe and what the patterns still ask for, so that it works behind other
        probes like those of its training; "cnn": the plain convolutional network.
    lean_width
        Width w of the "lean" and "unrolled" networks; at least 1, best a multiple of 16.
    lean_levels
        Their channels at N/2, N/4 and N/8: "slim", w/2, w and 4w; "even", w, 2w and 4w, which costs three times
        as much and is what runs from before there was a choice hold.
    passes
        How often the "unrolled" network goes over the object; at least 1.
    fno_modes
        Fourier modes kept along each axis; read by Fourier networks only.
    fno_width
        Channels of a Fourier layer; read by Fourier networks only.
    fno_blocks
        Number of Fourier blocks; read by Fourier networks only.
    fno_cnn_blocks
        Number of convolutional blocks after the Fourier blocks; read by Fourier networks only.
    learned_input_channels
        Channels that the input is lifted to; read by Fourier networks only.
    max_hidden_channels
        Largest number of hidden channels, null for no limit; read by Fourier networks only.
    resnet_width
        Channels of the residual bottleneck, null for the network's own; read by Fourier networks only.
    fno_input_transform
        Transform of the measured amplitude before the first layer; read by Fourier networks only.
    generator_output_mode
        What the last layer gives; read by Fourier networks only.
    amp_activation
        Activation of the amplitude head of the "cnn" network.
    object_big
        Merge the patches of neighbouring positions on one canvas before the physics (the overlap constraint);
        false: each pattern explains itself alone.
    probe_big
        The "cnn" network predicts the whole patch; false: its central N/2 x N/2 px, with a border of zeros.
    probe_mask
        Multiply the probe by a disk, so that the probe is zero outside it.
    probe_mask_sigma
        Width of the soft edge of that disk, px, 0 or more.
    probe_mask_diameter
        Diameter of that disk, px, above 0; null for N/2.
    pad_object
        Without probe_big, place the predicted central part in a patch of N x N px.
    probe_scale
        Scale of the normalised probe in the older interface (here the probe carries the counts of a frame); not read.
    gaussian_smoothing_sigma
        Blur of the exit wave in the older interface, px; not read.
    """

    N: int = 64
    gridsize: int = 1
    n_filters_scale: int = 2
    model_type: Literal["pinn", "supervised"] = "pinn"
    architecture: Architecture = "lean"
    lean_width: int = 32
    lean_levels: Levels = "slim"
    passes: int = 3
    fno_modes: int = 12
    fno_width: int = 32
    fno_blocks: int = 4
    fno_cnn_blocks: int = 2
    learned_input_channels: int = 1
    max_hidden_channels: int | None = None
    resnet_width: int | None = None
    fno_input_transform: Literal["none", "sqrt", "log1p", "instancenorm"] = "none"
    generator_output_mode: Literal["real_imag", "amp_phase_logits", "amp_phase"] = "real_imag"
    amp_activation: Literal["sigmoid", "swish", "softplus", "relu"] = "sigmoid"
    object_big: bool = True
    probe_big: bool = True
    probe_mask: bool = False
    probe_mask_sigma: float = 1.0
    probe_mask_diameter: float | None = None
    pad_object: bool = True
    probe_scale: float = 4.0
    gaussian_smoothing_sigma: float = 0.0
