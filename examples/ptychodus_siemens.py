"""A measured Siemens star through Ptychodus: train, reconstruct, and draw.

    python examples/ptychodus_siemens.py SCAN FOLDER [--epochs 25]

SCAN is a scan that ``ptycho inspect`` reads, for one the Siemens star of the tike package. FOLDER takes what Ptychodus
reads and writes, with product.h5, the answer, and object.png, its picture. A script that starts Ptychodus must be a
file with a ``__main__`` guard, because Ptychodus starts processes that read it again.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
from ptychodus.api.assemble import AssembledDiffractionData
from ptychodus.api.constants import energy_eV_to_wavelength_m
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.io import load_product, save_diffraction_data, save_product
from ptychodus.api.object import Object, compute_object_geometry
from ptychodus.api.probe import ProbeSequence
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.product import Product, ProductMetadata
from ptychodus.model import ModelCore

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.report.drawing import colour_bar, draw_map, free_turn, page, phase_colours, robust_limits

RECONSTRUCTOR = "ptychopinn_pinn"

# The published file is in pixels; Ptychodus wants metres. Nominal values: only the picture's scale hangs on them.
PIXEL_M = 10e-9
DISTANCE_M = 2.0
ENERGY_EV = 8_800.0


def main() -> None:
    """Run the five steps that a user of the window does by hand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path, metavar="SCAN", help="scan file, with positions and a probe")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder that does not exist yet, for all files")
    parser.add_argument("--epochs", type=int, default=25, help="passes over the scan [25]")
    arguments = parser.parse_args()
    data, run = arguments.folder / "data", arguments.folder / "run"
    if arguments.folder.exists():
        parser.error(f"{arguments.folder} is there already; name a folder that is not")
    data.mkdir(parents=True)
    scan = read(arguments.scan)
    save_diffraction_data(arguments.folder / "diffraction.h5", patterns_of(scan))
    save_product(arguments.folder / "start.h5", product_of(scan, arguments.scan.stem))

    with ModelCore(log_level=logging.INFO) as core:
        choose(core, arguments.epochs, scan.n_positions)
        workflow, processing = core.workflow_api, core.processing_core.processing_api
        diffraction = workflow.load_assembled_diffraction_data(arguments.folder / "diffraction.h5")
        start = workflow.load_product(arguments.folder / "start.h5", file_type="HDF5", diffraction=diffraction)
        for name in ("train_data.npz", "test_data.npz"):
            start.export_training_data(data / name, algorithm=RECONSTRUCTOR)
        start.train_reconstructor_local(data, run, block=True)
        processing.save_model_to_file(arguments.folder / "model.zip")
        start.reconstruct_local(block=True).save_product(arguments.folder / "product.h5", file_type="HDF5")

    draw(arguments.folder / "object.png", load_product(arguments.folder / "product.h5"))


def choose(core: ModelCore, epochs: int, n_positions: int) -> None:
    """Set what a user would set in the window or in settings.ini; all else keeps its default."""
    library = core.ptychopinn_reconstructor_library
    library.training_settings.nepochs.set_value(epochs)
    library.training_settings.probe_trainable.set_value(True)  # the file's probe is a model, not a measurement
    library.inference_settings.n_samples.set_value(n_positions)  # the default is one patch


def patterns_of(scan: Acquisition) -> AssembledDiffractionData:
    """Return the frames of a scan as Ptychodus holds them: counts, zero frequency in the middle, bad pixels flagged."""
    counts = np.rint(scan.counts()).astype(np.uint32)
    pitch = energy_eV_to_wavelength_m(ENERGY_EV) * DISTANCE_M / (scan.size * PIXEL_M)
    return AssembledDiffractionData(np.arange(scan.n_positions), counts, PixelGeometry(pitch, pitch), ~scan.mask)


def product_of(scan: Acquisition, name: str) -> Product:
    """Return the product to start from: positions in metres, the probe of the file, an object of ones around them."""
    # A position names index N / 2 of a patch here and its middle, (N - 1) / 2, in Ptychodus.
    metres = (scan.positions - 0.5) * PIXEL_M
    positions = ProbePositionSequence([ProbePosition(i, x, y) for i, (y, x) in enumerate(metres)])
    pixel = PixelGeometry(PIXEL_M, PIXEL_M)
    probes = ProbeSequence(scan.probe[None], None, pixel)
    canvas = compute_object_geometry(positions, probes.get_geometry())
    flat = Object(np.ones((canvas.height_px, canvas.width_px), complex), pixel, canvas.get_center())
    photons = float(np.sum(np.abs(scan.probe) ** 2))
    metadata = ProductMetadata(name, "", DISTANCE_M, ENERGY_EV, photons, 0.0, 0.0, 0.0)
    return Product(metadata, positions, probes, flat, [])


def draw(file: Path, product: Product) -> None:
    """Draw amplitude and phase between the outermost scan positions."""
    geometry, positions = product.object_.get_geometry(), product.probe_positions
    y = geometry.map_probe_positions_to_object_y_px(positions)
    x = geometry.map_probe_positions_to_object_x_px(positions)
    seen = np.s_[int(y.min()) : int(y.max()) + 1, int(x.min()) : int(x.max()) + 1]
    object_ = product.object_.get_layer(0)[seen].astype(np.complex64)
    everywhere = np.ones(object_.shape, bool)
    amplitude, phase = np.abs(object_), np.angle(object_ * free_turn(object_, everywhere))
    with page(file, 7.0, 3.2) as figure:
        maps = (
            (amplitude, "gray", robust_limits(amplitude, everywhere), "amplitude"),
            (phase, *phase_colours(phase, everywhere), "phase less its mean (rad)"),
        )
        for axes, (values, colours, limits, label) in zip(figure.subplots(1, 2), maps, strict=True):
            image = draw_map(axes, values, everywhere, np.zeros(2), colours, limits)
            axes.set(xlabel="x (px)", ylabel="y (px)")
            colour_bar(figure, axes, image, label)


if __name__ == "__main__":
    main()
