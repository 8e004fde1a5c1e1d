"""The known scan as the software of several beamlines writes it, with numpy, h5py and SciPy only.

Detectors have square pixels where a layout can say no other.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

from ptycho.config.reading import Reading
from tests.laws.layouts import DETECTOR_PIXEL, DISTANCE, ELECTRON_VOLT, ENERGY, WAVELENGTH, Known, N, Written

SIDE = 75e-6  # m
SQUARE = (SIDE, SIDE)
LENGTHS = ("energy", "distance", "detector_pixel", "object_pixel")
GIVEN = Reading(energy=ENERGY, distance=DISTANCE, detector_pixel=SIDE)


def square(scan: Known) -> Known:
    """Return the scan as a detector with square pixels saw it."""
    return replace(scan, detector_pixel=SQUARE)


def in_documented_npz(folder: Path, scan: Known) -> Written:
    y, x = scan.positions.T
    np.savez(
        folder / "scan.npz",
        diff3d=np.sqrt(scan.patterns),
        xcoords=x,
        ycoords=y,
        probeGuess=scan.probe[0],
        objectGuess=scan.object_,
        mask=scan.mask,
    )
    return Written(folder / "scan.npz", "npz of PtychoPINN", lacks=(*LENGTHS, "origin"))


def in_npz_of_tike(folder: Path, scan: Known) -> Written:
    np.savez(
        folder / "scan.npz",
        data=np.fft.ifftshift(scan.patterns, axes=(1, 2))[None].astype(np.float32),
        scan=(scan.positions - N // 2)[None],
        probe=scan.probe[None, None, None] / 40,
    )
    return Written(folder / "scan.npz", "npz of tike", lacks=("mask", "object_", *LENGTHS, "origin"))


def slac(path: Path, scan: Known, positions: np.ndarray) -> None:
    """All that a file of SLAC has; ``positions`` (n, 2), (y, x), px or m."""
    np.savez(
        path,
        diffraction=np.transpose(scan.patterns, (1, 2, 0)),
        xcoords_start=positions[:, 1],
        ycoords_start=positions[:, 0],
        probeGuess=scan.probe[0] / 3,
        objectGuess=scan.object_,
        detector_distance_m=DISTANCE,
        photon_energy_eV=ENERGY,
        detector_pixel_size_m=SIDE,
    )


def in_npz_of_slac(folder: Path, scan: Known) -> Written:
    slac(folder / "run.npz", scan, scan.positions)
    return Written(folder / "run.npz", "npz of SLAC", lacks=("mask", "origin"), detector_pixel=SQUARE)


def in_npz_of_slac_in_metres(folder: Path, scan: Known) -> Written:
    slac(folder / "run.npz", scan, square(scan).metres)
    return Written(folder / "run.npz", "npz of SLAC", lacks=("mask", "object_"), detector_pixel=SQUARE)


def in_files_of_fold_slice(folder: Path, scan: Known) -> Written:
    """Patterns, and beside them positions, wavelength and object pixel."""
    scan = square(scan)
    with h5py.File(folder / "scan_dp.hdf5", "w") as file:
        file["dp"] = scan.patterns
    y, x = scan.metres.T
    with h5py.File(folder / "scan_para.hdf5", "w") as file:
        file["ppX"], file["ppY"] = x[:, None], y[:, None]
        file["lambda"], file["dx"], file["angle"] = WAVELENGTH, scan.object_pixel[0], 0.0
    return Written(folder / "scan_dp.hdf5", "fold_slice", lacks=("mask", "probe", "object_"), detector_pixel=SQUARE)


def reconstruction(scan: Known) -> dict[str, np.ndarray]:
    """What fold_slice keeps of a reconstruction, axes as in MATLAB; positions (x, y) px from middle to middle."""
    middle = (np.array(scan.object_.shape) - 1) / 2
    return {
        "probe": np.moveaxis(scan.probe, 0, -1),
        "object": scan.object_,
        "outputs/probe_positions": (scan.positions - 0.5 - middle)[:, ::-1],
        "outputs/fourier_error_out": np.array([0.2, 0.1]),
        "p/lambda": np.array(WAVELENGTH),
        "p/dx_spec": np.array(scan.object_pixel[::-1]),
    }


def with_reconstruction(folder: Path) -> Written:
    """The files of fold_slice with its reconstruction, whose positions and probe then count."""
    reading = Reading(companions=(folder / "found.mat",))
    return Written(folder / "scan_dp.hdf5", "fold_slice", reading, lacks=("mask", "origin"), detector_pixel=SQUARE)


def in_fold_slice_with_matlab_5(folder: Path, scan: Known) -> Written:
    in_files_of_fold_slice(folder, scan)
    content: dict[str, object] = {}
    for key, array in reconstruction(square(scan)).items():
        group, _, name = key.rpartition("/")
        (content.setdefault(group, {}) if group else content)[name] = array
    savemat(folder / "found.mat", content)
    return with_reconstruction(folder)


def in_fold_slice_with_matlab_7_3(folder: Path, scan: Known) -> Written:
    """MATLAB writes the last axis first, at least two axes, and halves of complex numbers side by side."""
    in_files_of_fold_slice(folder, scan)
    with h5py.File(folder / "found.mat", "w", userblock_size=512) as file:
        for key, array in reconstruction(square(scan)).items():
            matrix = np.atleast_2d(array).T
            if matrix.dtype.kind == "c":
                matrix = np.array(matrix, np.complex128).view([("real", "f8"), ("imag", "f8")]).reshape(matrix.shape)
            file[key] = matrix
            file[key].attrs["MATLAB_class"] = np.bytes_("double")
    return with_reconstruction(folder)


def in_nsls2_style_1(folder: Path, scan: Known) -> Written:
    with h5py.File(folder / "scan.h5", "w") as file:
        file["entry/data/data"] = scan.patterns
        file["scan/energy"], file["scan/exposure_time"] = ENERGY, 0.1
        file["scan/scan_positions"] = 1e6 * square(scan).metres[:, ::-1].T
    return Written(folder / "scan.h5", "NSLS-II 3-ID", GIVEN, lacks=("mask", "probe", "object_"), detector_pixel=SQUARE)


def nsls2_style_2(folder: Path, scan: Known, key: str, patterns: np.ndarray) -> Written:
    with h5py.File(folder / "scan.h5", "w") as file:
        file[key] = patterns
        file["ccd_pixel_um"], file["lambda_nm"], file["z_m"] = 1e6 * SIDE, 1e9 * WAVELENGTH, DISTANCE
        file["angle"], file["points"] = 0.0, 1e6 * square(scan).metres[:, ::-1].T
    return Written(folder / "scan.h5", "NSLS-II 3-ID", lacks=("mask", "probe", "object_"), detector_pixel=SQUARE)


def in_nsls2_style_2(folder: Path, scan: Known) -> Written:
    return nsls2_style_2(folder, scan, "diffamp", np.sqrt(scan.patterns))


def in_nsls2_style_2_as_counts(folder: Path, scan: Known) -> Written:
    return nsls2_style_2(folder, scan, "dp", scan.patterns)


def in_nsls2_matlab(folder: Path, scan: Known) -> Written:
    scan, order = square(scan), np.arange(len(scan.positions))
    with h5py.File(folder / "scan.mat", "w", userblock_size=512) as file:
        file["det_data"] = scan.patterns
        file["det_pixel_size"], file["det_dist"], file["energy"] = [[1e6 * SIDE]], 1e6 * DISTANCE, ENERGY / 1e3
        file["pos_xy"] = np.stack([order, *(1e6 * scan.metres[:, ::-1].T)])
        file["prb"], file["obj"] = scan.probe[0], scan.object_
        file["img_pixel_size_y"], file["img_pixel_size_x"] = scan.object_pixel
    return Written(folder / "scan.mat", "NSLS-II 3-ID", lacks=("mask", "object_"), detector_pixel=SQUARE)


def in_ptyd(folder: Path, scan: Known) -> Written:
    """Two chunks, frames in disorder, weights for each frame; by the layout, not by PtyPy, which no registry has."""
    order = np.random.default_rng(5).permutation(len(scan.patterns))
    with h5py.File(folder / "scan.ptyd", "w") as file:
        file["meta/energy"], file["meta/distance"] = ENERGY / 1e3, DISTANCE
        file["meta/psize"], file["info/num_frames"] = np.array(DETECTOR_PIXEL), len(order)
        for i, indices in enumerate(np.array_split(order, 2)):
            chunk = file.create_group(f"chunks/{i}")
            chunk["data"], chunk["indices"] = scan.patterns[indices].astype(np.float32), indices
            chunk["positions"] = scan.metres[indices]
            chunk["weights"] = np.broadcast_to(scan.mask, (len(indices), N, N)).astype(np.float32)
    return Written(folder / "scan.ptyd", "ptyd of PtyPy", lacks=("probe", "object_"))


def in_nexus(folder: Path, scan: Known) -> Written:
    """Units stated, and none of them that of the standard."""
    with h5py.File(folder / "scan.nxs", "w") as file:
        entry = file.create_group("entry_1")
        entry["data/data"], entry["data/y"], entry["data/x"] = scan.patterns, *(1e6 * scan.metres.T)
        entry["instrument_1/beam_1/energy"] = ENERGY / 1e3
        detector = entry.create_group("instrument_1/detector_1")
        detector["distance"], detector["pixel_mask"] = 1e3 * DISTANCE, (~scan.mask).astype(np.uint32)
        detector["y_pixel_size"], detector["x_pixel_size"] = 1e6 * np.array(DETECTOR_PIXEL)
        for name, unit in (
            *(("data/x", "um"), ("data/y", "um"), ("instrument_1/beam_1/energy", "keV")),
            *((f"instrument_1/detector_1/{name}", "um") for name in ("x_pixel_size", "y_pixel_size")),
            ("instrument_1/detector_1/distance", "mm"),
        ):
            entry[name].attrs["units"] = unit
    return Written(folder / "scan.nxs", "NeXus", lacks=("probe", "object_"))


def in_nexus_of_a_raster(folder: Path, scan: Known) -> Written:
    """Frames of a raster (row, column, y, x), SI units that nothing states, motors that carry the probe."""
    grid = (5, 8)
    with h5py.File(folder / "scan.nxs", "w") as file:
        entry = file.create_group("entry_1")
        entry["data/data"] = scan.patterns.reshape(*grid, N, N)
        entry["data/y"], entry["data/x"] = (-each.reshape(grid) for each in scan.metres.T)
        entry["instrument_1/beam_1/energy"] = ENERGY * ELECTRON_VOLT
        detector = entry.create_group("instrument_1/detector_1")
        detector["distance"] = DISTANCE
        detector["y_pixel_size"], detector["x_pixel_size"] = DETECTOR_PIXEL
    return Written(folder / "scan.nxs", "NeXus", Reading(translation="probe"), lacks=("mask", "probe", "object_"))


def in_frames_of_a_detector(folder: Path, scan: Known) -> Written:
    """What an Eiger writes, and positions in a table beside it."""
    with h5py.File(folder / "frames.h5", "w") as file:
        file["entry/data/data"] = scan.patterns
        file["entry/instrument/detector/pixel_mask"] = (~scan.mask).astype(np.uint32)
    table(folder / "positions.csv", ",", square(scan).metres)
    return Written(folder / "frames.h5", "NeXus", GIVEN, lacks=("probe", "object_"), detector_pixel=SQUARE)


def table(path: Path, delimiter: str, columns: np.ndarray) -> None:
    path.write_text("".join(f"{first!r}{delimiter}{second!r}\n" for first, second in columns.tolist()))


def in_npy(folder: Path, scan: Known) -> Written:
    np.save(folder / "patterns.npy", scan.patterns)
    np.save(folder / "positions.npy", scan.positions)
    np.save(folder / "probe.npy", scan.probe)
    return Written(folder / "patterns.npy", "arrays", lacks=("mask", "object_", *LENGTHS, "origin"))


def in_npy_and_csv(folder: Path, scan: Known) -> Written:
    """Positions y, x with a comma, as Ptychodus writes them."""
    np.save(folder / "patterns.npy", scan.patterns)
    table(folder / "positions.csv", ",", square(scan).metres)
    return Written(folder / "patterns.npy", "arrays", GIVEN, lacks=("mask", "probe", "object_"), detector_pixel=SQUARE)


def in_npy_and_txt(folder: Path, scan: Known) -> Written:
    """Positions x y with a blank, as Ptychodus writes them."""
    np.save(folder / "patterns.npy", scan.patterns)
    table(folder / "positions.txt", " ", square(scan).metres[:, ::-1])
    return Written(folder / "patterns.npy", "arrays", GIVEN, lacks=("mask", "probe", "object_"), detector_pixel=SQUARE)


def in_npz_of_anybody(folder: Path, scan: Known) -> Written:
    np.savez(
        folder / "scan.npz",
        frames=scan.patterns,
        positions=scan.positions,
        probe=scan.probe,
        bad_pixels=~scan.mask,
        energy_eV=ENERGY,
        distance_m=DISTANCE,
        detector_pixel_m=DETECTOR_PIXEL,
    )
    return Written(folder / "scan.npz", "arrays", lacks=("object_", "origin"))


BEAMLINES: dict[str, Callable[[Path, Known], Written]] = {
    "documented npz": in_documented_npz,
    "tike": in_npz_of_tike,
    "SLAC": in_npz_of_slac,
    "SLAC, metres": in_npz_of_slac_in_metres,
    "fold_slice": in_files_of_fold_slice,
    "fold_slice, reconstruction of MATLAB 5": in_fold_slice_with_matlab_5,
    "fold_slice, reconstruction of MATLAB 7.3": in_fold_slice_with_matlab_7_3,
    "NSLS-II, style 1": in_nsls2_style_1,
    "NSLS-II, style 2, amplitude": in_nsls2_style_2,
    "NSLS-II, style 2, counts": in_nsls2_style_2_as_counts,
    "NSLS-II, MATLAB": in_nsls2_matlab,
    "ptyd": in_ptyd,
    "NeXus": in_nexus,
    "NeXus, raster": in_nexus_of_a_raster,
    "frames of a detector, csv": in_frames_of_a_detector,
    "npy": in_npy,
    "npy and csv": in_npy_and_csv,
    "npy and txt": in_npy_and_txt,
    "npz of any names": in_npz_of_anybody,
}
