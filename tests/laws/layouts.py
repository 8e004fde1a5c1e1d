"""One small scan that looks different from every side, and how each layout of files holds it.

The files are written here with h5py and NumPy alone, by what the format says, and share nothing with the readers.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import h5py
import numpy as np

from ptycho.acquisition.acquisition import Acquisition
from ptycho.config.reading import Reading
from ptycho.optics.geometry import Geometry
from ptycho.simulation.simulate import expected_counts

N = 32
ENERGY, DISTANCE = 8_800.0, 1.7  # eV, m
DETECTOR_PIXEL = (75e-6, 60e-6)  # (y, x), m
WAVELENGTH = 12_398.419843320026e-10 / ENERGY  # m
CORNER = (-3.1e-6, 1.2e-6)  # (y, x) of object pixel [0, 0], m, in the coordinates of the motors
ELECTRON_VOLT = 1.602176634e-19  # J
ENOUGH = 5  # expected counts of a pixel whose deviance is looked at


@dataclass(frozen=True, eq=False)
class Known:
    """The scan as it was made: counts, positions (y, x) px of patch index N // 2, probe, object, flags."""

    patterns: np.ndarray
    positions: np.ndarray
    probe: np.ndarray
    object_: np.ndarray
    mask: np.ndarray
    detector_pixel: tuple[float, float] = DETECTOR_PIXEL

    @property
    def object_pixel(self) -> tuple[float, float]:
        """(y, x), m."""
        height, width = (WAVELENGTH * DISTANCE / (N * pixel) for pixel in self.detector_pixel)
        return height, width

    @property
    def metres(self) -> np.ndarray:
        """(y, x), m, that the motors say: where the middle of a patch lies, (N - 1) / 2, half a pixel before N // 2."""
        return (self.positions - 0.5) * self.object_pixel + CORNER

    def acquisition(self) -> Acquisition:
        """Return the scan as this package holds it."""
        corner = np.array(CORNER) - 0.5 * np.array(self.object_pixel)
        return Acquisition(
            patterns=self.patterns,
            positions=self.positions,
            probe=self.probe,
            mask=self.mask,
            quantity="counts",
            count_scale=1.0,
            origin="simulated",
            object_=self.object_,
            indexes=100 + np.arange(len(self.positions)),
            geometry=Geometry(ENERGY, DISTANCE, self.detector_pixel, self.object_pixel, (corner[0], corner[1])),
        )

    @property
    def centre(self) -> tuple[float, float]:
        """(y, x), m, of the middle of the object."""
        height, width = self.object_.shape
        return (
            CORNER[0] + self.object_pixel[0] * (height - 1) / 2,
            CORNER[1] + self.object_pixel[1] * (width - 1) / 2,
        )


@dataclass(frozen=True)
class Written:
    """A scan on disk.

    ``layout``: name of the layout that must recognise it. ``lacks``: what the layout can't hold, of probe, mask,
    object_, energy, distance, detector_pixel, object_pixel, origin. ``order``: which frame comes first, and next.
    ``detector_pixel``: (y, x), m, that the file was written with.
    """

    path: Path
    layout: str
    reading: Reading = field(default_factory=Reading)
    lacks: tuple[str, ...] = ()
    order: tuple[int, ...] = ()
    detector_pixel: tuple[float, float] = DETECTOR_PIXEL


@cache
def known_scan() -> Known:
    """Simulate it once: a lopsided object, probe and mask, and a scan wider than high, at 1e5 photons a frame."""
    rng = np.random.default_rng(5)
    rows, columns = (each.ravel() for each in np.mgrid[:5, :8])
    steps = np.stack([2.9 * rows, 3.7 * columns], axis=1)
    positions = steps + rng.uniform(-1, 1, steps.shape) + N // 2 + 3
    height, width = np.ceil(positions.max(axis=0)).astype(int) + N // 2 + 3
    y, x = np.mgrid[:height, :width]
    blobs = [
        depth * np.exp(-((y - cy * height) ** 2 + (x - cx * width) ** 2) / wide**2)
        for depth, cy, cx, wide in ((1.5, 0.4, 0.3, 4), (-1.1, 0.6, 0.65, 6), (0.8, 0.45, 0.8, 2.5), (1, 0.7, 0.4, 2))
    ]
    phase = sum(blobs)
    object_ = ((1 - 0.3 * np.abs(np.tanh(phase))) * np.exp(1j * phase)).astype(np.complex64)
    v, u = (np.mgrid[:N, :N] - N // 2) / (N / 5)
    wave = np.exp(-(v**2) - 1.7 * (u - 0.2) ** 2) * np.exp(
        1j * (1.1 * v**2 + 0.6 * u**2 + 0.5 * u * v + 0.4 * u**3 + 0.7 * v)
    )
    probe = (wave * np.sqrt(1e5 / np.sum(np.abs(wave) ** 2)))[None].astype(np.complex64)
    mask = np.ones((N, N), bool)
    mask[3, 20:24] = mask[19, 5] = mask[25:27, 9] = False
    counts = rng.poisson(expected_counts(object_, probe, positions)) * mask
    return Known(counts.astype(np.uint32), positions, probe, object_, mask)


def ptychodus_diffraction(file: h5py.File, scan: Known, order: np.ndarray) -> None:
    file["indexes"] = 100 + order
    file.create_dataset("patterns", data=scan.patterns[order], compression="lzf")
    file["patterns"].attrs["detector_pixel_height_m"] = DETECTOR_PIXEL[0]
    file["patterns"].attrs["detector_pixel_width_m"] = DETECTOR_PIXEL[1]
    file["bad_pixels"] = ~scan.mask


def ptychodus_product(file: h5py.File, scan: Known, energy: str = "photon_energy_eV") -> None:
    file.attrs["name"], file.attrs["comments"] = "lopsided", ""
    file.attrs[energy], file.attrs["detector_object_distance_m"] = ENERGY, DISTANCE
    file["probe_position_indexes"] = 100 + np.arange(len(scan.positions))
    file["probe_position_y_m"], file["probe_position_x_m"] = scan.metres.T
    file["probe"], file["object"] = scan.probe[None] / 77, scan.object_[None]
    for key in ("probe", "object"):
        file[key].attrs["pixel_height_m"], file[key].attrs["pixel_width_m"] = scan.object_pixel
    file["object"].attrs["center_y_m"], file["object"].attrs["center_x_m"] = scan.centre


def in_ptychodus_files(folder: Path, scan: Known) -> Written:
    """diffraction.h5 with its frames in disorder, and product.h5 beside it."""
    order = np.random.default_rng(1).permutation(len(scan.positions))
    with h5py.File(folder / "diffraction.h5", "w") as file:
        ptychodus_diffraction(file, scan, order)
    with h5py.File(folder / "product.h5", "w") as file:
        ptychodus_product(file, scan)
    return Written(folder / "diffraction.h5", "diffraction of Ptychodus", order=tuple(order))


def in_a_folder_of_an_older_ptychodus(folder: Path, scan: Known) -> Written:
    with h5py.File(folder / "diffraction.h5", "w") as file:
        file["indexes"], file["patterns"] = 100 + np.arange(len(scan.patterns)), scan.patterns
        file["bad_pixels"] = ~scan.mask
    with h5py.File(folder / "product.h5", "w") as file:
        ptychodus_product(file, scan, energy="probe_energy_eV")
    return Written(folder, "diffraction of Ptychodus", lacks=("detector_pixel",))


def in_npz_of_ptychodus(folder: Path, scan: Known) -> Written:
    indexes = np.arange(len(scan.patterns))
    np.savez(folder / "frames.npz", indexes=indexes, patterns=scan.patterns, bad_pixels=~scan.mask)
    y, x = scan.metres.T
    flat = {
        "detector_object_distance_m": DISTANCE,
        "photon_energy_eV": ENERGY,
        "probe_position_indexes": indexes,
        "probe_position_x_m": x,
        "probe_position_y_m": y,
        "probe": scan.probe,
        "object": scan.object_,
        "object_center_y_m": scan.centre[0],
        "object_center_x_m": scan.centre[1],
        "object_pixel_height_m": scan.object_pixel[0],
        "object_pixel_width_m": scan.object_pixel[1],
    }
    np.savez(folder / "found.npz", **flat)
    reading = Reading(companions=(folder / "frames.npz",))
    return Written(folder / "found.npz", "product of Ptychodus", reading, lacks=("detector_pixel",))


def in_training_data_of_ptychodus(folder: Path, scan: Known) -> Written:
    y, x = (scan.positions - 0.5).T
    with h5py.File(folder / "training.h5", "w") as file:
        file["patterns"], file["bad_pixels"] = scan.patterns, ~scan.mask
        file["probe"], file["object"] = scan.probe, scan.object_
        file["probe_position_y_px"], file["probe_position_x_px"] = y, x
        file["object_pixel_height_m"], file["object_pixel_width_m"] = scan.object_pixel
        file["detector_object_distance_m"], file["photon_energy_eV"] = DISTANCE, ENERGY
    return Written(folder / "training.h5", "training data of Ptychodus", lacks=("origin",))


def cxi(file: h5py.File, scan: Known, translation: np.ndarray) -> None:
    """All that every CXI file of a scan has; ``translation`` (n, 2), (x, y), m."""
    file["cxi_version"] = 160
    detector = file.create_group("entry_1/instrument_1/detector_1")
    detector["distance"], detector["data"] = DISTANCE, scan.patterns
    detector["mask"] = np.where(scan.mask, 0x1000, 0x8).astype(np.uint32)  # has signal, dead
    file["entry_1/instrument_1/source_1/energy"] = ENERGY * ELECTRON_VOLT
    file["entry_1/sample_1/geometry_1/translation"] = np.pad(translation, ((0, 0), (0, 1)))
    file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
    file["entry_1/data_1/translation"] = h5py.SoftLink("/entry_1/sample_1/geometry_1/translation")


def in_cxi(folder: Path, scan: Known) -> Written:
    """By the standard: the sample moves against the probe, and the image's axes lie along -y and -x."""
    laboratory = -scan.metres  # (y, x) of the probe on the sample
    with h5py.File(folder / "scan.cxi", "w") as file:
        cxi(file, scan, -laboratory[:, ::-1])
        detector = file["entry_1/instrument_1/detector_1"]
        detector["y_pixel_size"], detector["x_pixel_size"] = DETECTOR_PIXEL
        file["entry_1/instrument_1/source_1/illumination"] = scan.probe[0]
    return Written(folder / "scan.cxi", "CXI", lacks=("object_",))


def in_cxi_with_axes(folder: Path, scan: Known) -> Written:
    """A detector on its side, mounted looking up: rows along -x, columns along +y; no probe."""
    laboratory = np.stack([scan.metres[:, 1], -scan.metres[:, 0]], axis=1)  # (y, x) of the probe on the sample
    with h5py.File(folder / "scan.cxi", "w") as file:
        cxi(file, scan, -laboratory[:, ::-1])
        rows, columns = [-DETECTOR_PIXEL[0], 0.0, 0.0], [0.0, DETECTOR_PIXEL[1], 0.0]
        file["entry_1/instrument_1/detector_1/basis_vectors"] = np.array([rows, columns]).T
    return Written(folder / "scan.cxi", "CXI", lacks=("object_", "probe"))


def in_cxi_of_a_moving_probe(folder: Path, scan: Known) -> Written:
    """A file that gives the place of the probe instead, which the user has to say."""
    laboratory = -scan.metres
    with h5py.File(folder / "scan.cxi", "w") as file:
        cxi(file, scan, laboratory[:, ::-1])
        detector = file["entry_1/instrument_1/detector_1"]
        detector["y_pixel_size"], detector["x_pixel_size"] = DETECTOR_PIXEL
    return Written(folder / "scan.cxi", "CXI", Reading(translation="probe"), lacks=("object_", "probe"))


def in_a_folder_of_ours(folder: Path, scan: Known) -> Written:
    """Patterns, all else, and a manifest with the hash of both."""
    np.save(folder / "patterns.npy", scan.patterns)
    np.savez(
        folder / "scan.npz",
        xcoords=scan.positions[:, 1],
        ycoords=scan.positions[:, 0],
        probeGuess=scan.probe,
        objectGuess=scan.object_,
        bad_pixels=~scan.mask,
        patch_index=N // 2,
        energy_eV=ENERGY,
        distance_m=DISTANCE,
        detector_pixel_m=scan.detector_pixel,
        object_pixel_m=scan.object_pixel,
        origin_m=scan.acquisition().geometry.origin,
    )
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("patterns.npy", "scan.npz")}
    stored = {"shape": list(scan.patterns.shape), "dtype": scan.patterns.dtype.str}
    manifest = {
        "format": "ptychopinn scan",
        "version": 1,
        "patterns": {"file": "patterns.npy", **stored, "sha256": hashes["patterns.npy"]},
        "arrays": {"file": "scan.npz", "sha256": hashes["scan.npz"]},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Written(folder, "folder of PtychoPINN")


LAYOUTS: dict[str, Callable[[Path, Known], Written]] = {
    "folder of ours": in_a_folder_of_ours,
    "Ptychodus": in_ptychodus_files,
    "older Ptychodus, folder": in_a_folder_of_an_older_ptychodus,
    "Ptychodus, npz": in_npz_of_ptychodus,
    "Ptychodus, training data": in_training_data_of_ptychodus,
    "CXI": in_cxi,
    "CXI, axes stated": in_cxi_with_axes,
    "CXI, probe moves": in_cxi_of_a_moving_probe,
}


def is_the_known_scan(found: Acquisition, written: Written) -> None:
    """The law of readers: counts, positions up to one shift, probe up to a factor, mask, object, lengths."""
    known, lacks = replace(known_scan(), detector_pixel=written.detector_pixel), written.lacks
    found = found.part(np.argsort(written.order)) if written.order else found
    np.testing.assert_allclose(found.counts(), known.patterns, rtol=1e-6)
    offset = found.positions - known.positions
    np.testing.assert_allclose(offset - offset[0], 0, atol=1e-6)
    if "mask" not in lacks:
        np.testing.assert_array_equal(found.mask, known.mask)
    if "probe" not in lacks:
        assert found.probe.shape == known.probe.shape
        power = np.linalg.norm(found.probe) * np.linalg.norm(known.probe)
        assert abs(np.vdot(found.probe, known.probe)) > (1 - 1e-6) * power
    assert deviance(found if "probe" not in lacks else replace(found, probe=known.probe), offset[0]) < 1.2
    if "object_" not in lacks:
        np.testing.assert_array_equal(found.object_, known.object_)
        np.testing.assert_allclose(offset, 0, atol=1e-6)
    lengths = {"energy": ENERGY, "distance": DISTANCE}
    lengths |= {"detector_pixel": known.detector_pixel, "object_pixel": known.object_pixel}
    for name in [name for name in lengths if name not in lacks]:
        np.testing.assert_allclose(getattr(found.geometry, name), lengths[name], rtol=1e-6)
    if "object_pixel" not in lacks and "origin" not in lacks:
        np.testing.assert_allclose(found.geometry.known(N).metres(found.positions), known.metres, atol=1e-13)


def deviance(found: Acquisition, offset: np.ndarray) -> float:
    """Return the misfit of the true object where the scan says that it looked, its positions moved back by an offset.

    The probe has the one free factor that fits the counts best.
    """
    known = known_scan()
    inside = np.clip(found.positions - offset, N // 2, np.array(known.object_.shape) - N // 2 - 1)
    expected = expected_counts(known.object_, found.probe, inside)[:, found.mask]
    counts = found.counts().astype(np.float64)[:, found.mask]
    return poisson_deviance(counts, expected * counts.sum() / expected.sum())


def poisson_deviance(counts: np.ndarray, expected: np.ndarray) -> float:
    """Return 2 (c ln(c / e) - c + e) on average over the pixels where it has a mean of 1 for shot noise alone."""
    ratio = np.where(counts > 0, counts / np.maximum(expected, 1e-12), 1.0)
    terms = counts * np.log(ratio) - counts + expected
    return float(2 * terms[expected > ENOUGH].mean())
