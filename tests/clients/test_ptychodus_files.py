"""The files of the real Ptychodus, there and back: its readers find the same metres and pixels, and so do ours."""

import numpy as np
import pytest
from ptychodus.api.diffraction import (
    DiffractionDatasetLayoutNode,
    DiffractionMetadata,
    SimpleDiffractionArray,
    SimpleDiffractionDataset,
)
from ptychodus.api.geometry import ImageExtent
from ptychodus.api.io import (
    load_diffraction_data,
    load_product,
    save_diffraction_data,
    save_product,
    save_training_data,
)
from ptychodus.api.reconstruct import ReconstructInput
from ptychodus.plugins.cxi_file import CXIDiffractionFileReader, CXIDiffractionFileWriter, CXIProductFileIO
from ptychodus.plugins.npz_diffraction_file import NPZDiffractionFileIO
from ptychodus.plugins.npz_product_file import NPZProductFileIO

from ptycho.acquisition.readers import read
from ptycho.acquisition.writers import write
from ptycho.config.reading import Reading
from ptycho.simulation.simulate import expected_counts
from tests.clients.ptychodus_scans import DISTANCE_M, ENERGY_EV, PIXEL, N, measured_scan
from tests.laws.layouts import DETECTOR_PIXEL, DISTANCE, ENERGY, known_scan, poisson_deviance
from tests.laws.layouts import N as SIZE


@pytest.fixture(scope="module", params=[".h5", ".cxi"])
def ours_read_by_ptychodus(request, tmp_path_factory):
    """The product, patterns, flags, and detector pixel that Ptychodus finds in what this package wrote."""
    path = tmp_path_factory.mktemp("ours") / f"product{request.param}"
    write(path, known_scan().acquisition())
    if request.param == ".h5":
        data = load_diffraction_data(path.with_name("diffraction.h5"))
        patterns, bad, pixel, indexes = (
            data.get_patterns(),
            data.get_bad_pixels(),
            data.get_pixel_geometry(),
            data.get_indexes(),
        )
        return load_product(path), patterns, bad, pixel, indexes
    data = CXIDiffractionFileReader().read(path)
    patterns = np.concatenate([each.get_patterns() for each in data])
    indexes = np.concatenate([each.get_indexes() for each in data])
    pixel = data.get_metadata().detector_pixel_geometry
    return CXIProductFileIO().read(path), patterns, data.get_bad_pixels(), pixel, indexes


def test_ptychodus_finds_the_same_counts_and_lengths(ours_read_by_ptychodus):
    product, patterns, bad, pixel, indexes = ours_read_by_ptychodus
    known = known_scan()
    np.testing.assert_array_equal(patterns, known.patterns)
    np.testing.assert_array_equal(bad, ~known.mask)
    assert (pixel.height_m, pixel.width_m) == pytest.approx(DETECTOR_PIXEL)
    assert list(product.probe_positions.get_indexes()) == list(indexes)
    assert product.metadata.photon_energy_eV == pytest.approx(ENERGY)
    assert product.metadata.detector_distance_m == pytest.approx(DISTANCE)
    assert product.metadata.far_field
    for geometry in (product.object_.get_pixel_geometry(), product.probes.get_pixel_geometry()):
        assert (geometry.height_m, geometry.width_m) == pytest.approx(known.object_pixel)


def test_ptychodus_finds_the_same_metres_and_pixels(ours_read_by_ptychodus):
    product, known = ours_read_by_ptychodus[0], known_scan()
    y_m, x_m = product.probe_positions.get_coordinates_y_m(), product.probe_positions.get_coordinates_x_m()
    np.testing.assert_allclose(np.stack([y_m, x_m], axis=1), known.metres, rtol=0, atol=1e-15)
    geometry = product.object_.get_geometry()
    y = geometry.map_probe_positions_to_object_y_px(product.probe_positions)
    x = geometry.map_probe_positions_to_object_x_px(product.probe_positions)
    np.testing.assert_allclose(np.stack([y, x], axis=1), known.positions - 0.5, atol=1e-6)
    np.testing.assert_array_equal(product.object_.get_layer(0), known.object_)


def test_the_probe_is_for_a_transform_without_normalisation(ours_read_by_ptychodus):
    """|fft2(P O)|^2 is counts, as pty-chi has it, without a factor of N."""
    product, patterns, bad, *_ = ours_read_by_ptychodus
    known = known_scan()
    modes = product.probes.get_array()[0]
    whole = np.array([SIZE // 2 + 4, SIZE // 2 + 6])
    corner = whole - SIZE // 2
    patch = known.object_[corner[0] : corner[0] + SIZE, corner[1] : corner[1] + SIZE]
    counts = np.fft.fftshift(np.abs(np.fft.fft2(modes * patch)) ** 2, axes=(-2, -1)).sum(axis=0)
    (expected,) = expected_counts(known.object_, known.probe, whole[None].astype(float))
    np.testing.assert_allclose(counts, expected, rtol=1e-4, atol=1e-4 * expected.max())
    assert counts.sum() == pytest.approx(patterns[:, ~bad].sum() / len(patterns), rel=0.2)


def in_hdf5(folder, scan):
    save_diffraction_data(folder / "diffraction.h5", scan.diffraction)
    save_product(folder / "product.h5", scan.truth)
    return folder, Reading()


def loose(scan):
    """The patterns as the readers of Ptychodus hand them on, for its writers."""
    data = scan.diffraction
    patterns = data.get_patterns()
    metadata = DiffractionMetadata(
        num_patterns_per_array=[len(patterns)],
        pattern_dtype=patterns.dtype,
        detector_extent=ImageExtent(width_px=N, height_px=N),
        detector_distance_m=DISTANCE_M,
        detector_pixel_geometry=data.get_pixel_geometry(),
        photon_energy_eV=ENERGY_EV,
    )
    array = SimpleDiffractionArray("all", data.get_indexes(), patterns)
    root = DiffractionDatasetLayoutNode.create_root()
    return SimpleDiffractionDataset(metadata, root, [array], data.get_bad_pixels())


def in_npz(folder, scan):
    NPZDiffractionFileIO().write(folder / "frames.npz", loose(scan))
    NPZProductFileIO().write(folder / "found.npz", scan.truth)
    return folder / "found.npz", Reading(companions=(folder / "frames.npz",))


def in_cxi(folder, scan):
    CXIDiffractionFileWriter().write(folder / "diffraction.cxi", loose(scan))
    CXIProductFileIO().write(folder / "product.cxi", scan.truth)
    return folder / "diffraction.cxi", Reading()


def in_training_data(folder, scan):
    data = scan.diffraction
    given = ReconstructInput(data.get_patterns(), data.get_bad_pixels(), scan.truth)
    save_training_data(folder / "training.h5", given, inpaint_bad_pixels=False)
    return folder / "training.h5", Reading()


@pytest.mark.parametrize("write_theirs", [in_hdf5, in_npz, in_cxi, in_training_data])
def test_what_ptychodus_writes_is_read(tmp_path, write_theirs):
    """Counts, metres and pixels are those of Ptychodus, and its own forward model holds for what was read."""
    scan = measured_scan(modes=2, bad_pixels=True, dtype="uint32", centred=False)
    path, reading = write_theirs(tmp_path, scan)
    found, truth, data = read(path, reading=reading), scan.truth, scan.diffraction
    bad = data.get_bad_pixels()
    np.testing.assert_array_equal(found.mask, ~bad)
    np.testing.assert_array_equal(found.patterns[:, ~bad], data.get_patterns()[:, ~bad])
    np.testing.assert_allclose(found.object_, truth.object_.get_layer(0).astype(np.complex64))
    assert (found.geometry.energy, found.geometry.distance) == pytest.approx((ENERGY_EV, DISTANCE_M))
    assert found.geometry.object_pixel == pytest.approx((PIXEL.height_m, PIXEL.width_m))
    metres = found.geometry.known(N).metres(found.positions)
    theirs = truth.probe_positions
    y, x = theirs.get_coordinates_y_m(), theirs.get_coordinates_x_m()
    if write_theirs is in_training_data:  # which forgets where the object was
        centre = truth.object_.get_center()
        y, x = y - centre.y_m, x - centre.x_m
    np.testing.assert_allclose(metres, np.stack([y, x], axis=1), rtol=0, atol=1e-14)
    expected = expected_counts(found.object_, found.probe, found.positions)[:, found.mask]
    counts = found.counts().astype(np.float64)[:, found.mask]
    assert poisson_deviance(counts, expected * counts.sum() / expected.sum()) == pytest.approx(1, abs=0.1)
