"""One known scan, written as the software of several beamlines writes it, with numpy and h5py only.

Nothing here shares a line with the readers. A maker takes a folder and the scan and returns the file that one names.
"""

from pathlib import Path

import h5py
import numpy as np

from tests.laws.known_scan import Known

PLANCK_TIMES_LIGHT = 1.239841984e-6  # eV m


def slac_npz(folder: Path, known: Known) -> Path:
    """Write an archive of SLAC and LCLS, positions in px."""
    y, x = known.positions.T
    return slac_with(folder, known, x, y)


def slac_npz_in_metres(folder: Path, known: Known) -> Path:
    """Write the same with positions in metres, which nothing in the file says."""
    y, x = known.positions_m.T
    return slac_with(folder, known, x, y)


def slac_with(folder: Path, known: Known, x: np.ndarray, y: np.ndarray) -> Path:
    path = folder / "Run1084.npz"
    np.savez(
        path,
        diffraction=np.transpose(known.counts, (1, 2, 0)),
        xcoords_start=x,
        ycoords_start=y,
        probeGuess=known.probe[0],
        objectGuess=np.ones((80, 70), complex),
        detector_distance_m=known.distance,
        photon_energy_eV=known.energy,
        detector_pixel_size_m=known.detector_pixel[0],
    )
    return path


def fold_slice(folder: Path, known: Known) -> Path:
    """Write the two files of a scan that fold_slice prepares."""
    with h5py.File(folder / "scan_dp.hdf5", "w") as file:
        file["dp"] = known.counts
    y, x = known.positions_m.T
    with h5py.File(folder / "scan_para.hdf5", "w") as file:
        file["ppX"], file["ppY"] = x[:, None], y[:, None]
        file["lambda"], file["dx"], file["angle"] = PLANCK_TIMES_LIGHT / known.energy, known.object_pixel[0], 0.0
    return folder / "scan_dp.hdf5"


def nsls2_style_1(folder: Path, known: Known) -> Path:
    """Write a scan of beamline 3-ID with its energy and positions only."""
    path = folder / "scan_1.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = known.counts
        file["scan/energy"], file["scan/exposure_time"] = known.energy, 0.1
        file["scan/scan_positions"] = 1e6 * known.positions_m[:, ::-1].T
    return path


def nsls2_style_2(folder: Path, known: Known) -> Path:
    """Write a scan of beamline 3-ID prepared for its own software: ``diffamp`` holds the roots of counts."""
    return nsls2_style_2_with(folder, known, "diffamp", np.sqrt(known.counts).astype(np.float32))


def nsls2_style_2_counts(folder: Path, known: Known) -> Path:
    """Write the same as later software does: ``dp`` holds counts."""
    return nsls2_style_2_with(folder, known, "dp", known.counts)


def nsls2_style_2_with(folder: Path, known: Known, key: str, patterns: np.ndarray) -> Path:
    path = folder / f"scan_{key}.h5"
    with h5py.File(path, "w") as file:
        file[key] = patterns
        file["ccd_pixel_um"], file["z_m"], file["angle"] = 1e6 * known.detector_pixel[0], known.distance, 0.0
        file["lambda_nm"] = 1e9 * PLANCK_TIMES_LIGHT / known.energy
        file["points"] = 1e6 * known.positions_m[:, ::-1].T
    return path


def nsls2_matlab(folder: Path, known: Known) -> Path:
    """Write a scan and its reconstruction of beamline 3-ID as MATLAB 7.3 keeps them: one is an array of one by one."""
    path = folder / "scan.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["det_data"] = known.counts
        file["det_pixel_size"], file["det_dist"] = [[1e6 * known.detector_pixel[0]]], 1e6 * known.distance
        file["energy"] = known.energy / 1e3
        order = np.arange(len(known.positions))
        file["pos_xy"] = np.stack([order, *(1e6 * known.positions_m[:, ::-1].T)])
        file["prb"], file["obj"] = known.probe[0], known.object_
        file["img_pixel_size_y"], file["img_pixel_size_x"] = known.object_pixel
    return path


def ptyd(folder: Path, known: Known) -> Path:
    """Write a prepared scan of PtyPy in two chunks, frames out of order, every pattern with weights of its own."""
    path = folder / "scan.ptyd"
    order = np.random.default_rng(5).permutation(len(known.counts))
    with h5py.File(path, "w") as file:
        file["meta/energy"], file["meta/distance"] = known.energy / 1e3, known.distance  # keV
        file["meta/psize"], file["meta/shape"] = np.array(known.detector_pixel), np.array(known.counts.shape[1:])
        file["info/num_frames"] = len(order)
        for i, indices in enumerate(np.array_split(order, 2)):
            chunk = file.create_group(f"chunks/{i}")
            chunk["data"], chunk["indices"] = known.counts[indices].astype(np.float32), indices
            chunk["positions"] = known.positions_m[indices]
            chunk["weights"] = np.broadcast_to(~known.bad, (len(indices), *known.bad.shape)).astype(np.float32)
    return path


def nexus(folder: Path, known: Known) -> Path:
    """Write a scan of Diamond's beamlines; positions are motor readings of the sample in um, with their unit."""
    path = folder / "scan.nxs"
    sample = -1e6 * known.positions_m
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry_1")
        entry["definition"] = "NXcxi_ptycho"
        entry["data/data"] = known.counts
        entry["data/y"], entry["data/x"] = sample.T
        entry["instrument_1/beam_1/energy"] = 1.602176634e-19 * known.energy
        entry["instrument_1/detector_1/distance"] = 1e3 * known.distance
        entry["instrument_1/detector_1/y_pixel_size"], entry["instrument_1/detector_1/x_pixel_size"] = (
            known.detector_pixel
        )
        entry["instrument_1/detector_1/pixel_mask"] = known.bad.astype(np.uint32)
        for name, unit in (
            ("data/x", "um"),
            ("data/y", "um"),
            ("instrument_1/beam_1/energy", "J"),
            ("instrument_1/detector_1/distance", "mm"),
            ("instrument_1/detector_1/x_pixel_size", "m"),
            ("instrument_1/detector_1/y_pixel_size", "m"),
        ):
            entry[name].attrs["units"] = unit
    return path


def arrays(folder: Path, known: Known) -> Path:
    """Write loose NumPy arrays, as a script would."""
    np.save(folder / "patterns.npy", known.counts)
    np.save(folder / "positions.npy", known.positions)
    np.save(folder / "probe.npy", known.probe)
    return folder / "patterns.npy"


def arrays_and_csv(folder: Path, known: Known) -> Path:
    """Write patterns and the positions as Ptychodus writes them with commas: y, x in metres."""
    np.save(folder / "patterns.npy", known.counts)
    (folder / "positions.csv").write_text("".join(f"{y},{x}\n" for y, x in known.positions_m.tolist()))
    return folder / "patterns.npy"


def arrays_and_txt(folder: Path, known: Known) -> Path:
    """Write patterns and the positions as Ptychodus writes them with spaces: x, y in metres."""
    np.save(folder / "patterns.npy", known.counts)
    (folder / "positions.txt").write_text("".join(f"{x} {y}\n" for y, x in known.positions_m.tolist()))
    return folder / "patterns.npy"


def named_arrays(folder: Path, known: Known) -> Path:
    """Write one npz with the names that somebody would think of."""
    path = folder / "frames.npz"
    np.savez(path, frames=known.counts, positions=known.positions, probe=known.probe)
    return path
