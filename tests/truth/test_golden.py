"""The interface functions against numbers of the public reference."""

import json

import numpy as np
import pytest

from ptycho.assembly.bilinear import cut, translate
from ptycho.assembly.reassemble import reassemble
from ptycho.optics.intensity import intensity_scale
from ptycho.optics.probe import default_probe, normalised_probe, probe_modes, support_mask
from ptycho.optics.propagate import expected_counts
from ptycho.raw_data import RawData, normalize_data


def interpolation_error(images, largest_coordinate, patches_a_pixel=1):
    """Bound on single-precision bilinear interpolation at coordinates up to this size: a rounding of each coordinate,
    of half a unit in the last place along each axis and as much for the weights, times the largest step of a pixel."""
    step = max(np.abs(np.diff(images, axis=axis)).max() for axis in (-2, -1))
    return 4 * np.spacing(np.float32(largest_coordinate)) * step * patches_a_pixel


@pytest.mark.parametrize("name", ["gs1_seed42", "gs2_seed42", "gs2_sequential", "gs2_oversample"])
def test_grouped_data_are_those_of_the_reference(golden, name):
    case = golden(f"grouped_{name}")
    x, y = case["xcoords"], case["ycoords"]
    raw = RawData(x, y, x, y, case["diff3d"], np.ones((8, 8)), np.zeros(len(x)))
    grouped = raw.generate_grouped_data(**json.loads(str(case["kwargs"])))
    for key in ("diffraction", "coords_offsets", "coords_relative", "nn_indices", "X_full", "coords_nn"):
        expected = case[f"out_{key}"]
        assert grouped[key].dtype == expected.dtype, key
        np.testing.assert_array_equal(grouped[key], expected, err_msg=key)
    np.testing.assert_array_equal(grouped["coords_start_relative"], grouped["coords_relative"])
    assert grouped["Y"] is None
    assert grouped["objectGuess"] is None


def test_normalised_data(golden):
    case = golden("normalize_data")
    normalised = normalize_data({"diffraction": case["diffraction"]}, 64)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised, case["X_full"], rtol=2e-7)


@pytest.mark.parametrize(
    ("key", "nphotons", "size"), [("N64_nph1e+06", 1e6, 64), ("N64_nph1e+09", 1e9, 64), ("N128_nph100000", 1e5, 128)]
)
def test_intensity_scale(golden, key, nphotons, size):
    expected = golden("normalize_data")[f"intensity_scale_{key}"]
    assert intensity_scale(nphotons, size) == pytest.approx(float(expected), rel=1e-7)


def test_image_patches(golden):
    case = golden("image_patches")
    patches = cut(case["obj"], case["global_offsets"][:, 0, ::-1, 0], 64)
    bound = interpolation_error(case["obj"], case["obj"].shape[0] + 64)
    assert np.abs(patches - case["patches"][..., 0]).max() < bound


def test_translate(golden):
    case = golden("translate")
    images = case["images"][..., 0]
    moved = translate(images, case["translations_xy"][:, ::-1])
    assert np.abs(moved - case["out"][..., 0]).max() < interpolation_error(images, images.shape[-1])


def test_stitching_of_patch_centres(golden):
    case = golden("stitch_n37_M32")
    patches = case["patches"][..., 0]
    mosaic = reassemble(patches, case["offsets"][:, 0, ::-1, 0], int(case["M"]))
    numerator, denominator, stitched = (case[key][..., 0] for key in ("numerator", "denominator", "stitched"))
    bound = interpolation_error(patches, len(stitched), denominator.real.max())
    assert np.abs(mosaic.numerator - numerator).max() < bound
    assert np.abs(mosaic.denominator - denominator).max() < interpolation_error(
        np.pad(np.ones((1, 1)), 1), len(stitched), denominator.real.max()
    )
    covered = denominator.real > 0.5
    assert np.abs(mosaic.stitched - stitched)[covered].max() < 2 * bound
    np.testing.assert_array_equal(mosaic.stitched[denominator == 0], 0)


def test_normalised_probe(golden):
    case = golden("probe_N64")
    np.testing.assert_array_equal(support_mask(64), case["mask"])
    probe = normalised_probe(probe_modes(case["probe_guess"]), float(case["probe_scale"]))
    np.testing.assert_allclose(probe[0], case["probe_normalised"], rtol=1e-6)


def test_default_probe(golden):
    case = golden("probe_N64")
    np.testing.assert_allclose(default_probe(64), case["default_probe"], rtol=1e-12, atol=1e-12)


def test_a_group_of_four_from_patches_to_diffraction(golden):
    """Members move by minus their relative coordinates onto the canvas of the group, and back by plus them."""
    case = golden("gs2_chain_centre_support")
    patches, side = case["patches"], int(case["padded_size"])
    shifts = np.moveaxis(case["coords_relative"][:, 0], 1, -1)[..., ::-1]
    known = np.zeros((64, 64), np.float32)
    known[16:48, 16:48] = 1
    margin = (side - 64) // 2
    bound = interpolation_error(np.moveaxis(patches, -1, 1), side, patches_a_pixel=4)
    for group in range(len(patches)):
        members = np.pad(np.moveaxis(patches[group], -1, 0), ((0, 0), (margin, margin), (margin, margin)))
        mask = np.pad(np.broadcast_to(known, (4, 64, 64)), ((0, 0), (margin, margin), (margin, margin)))
        placed, covered = translate(members, -shifts[group]), translate(mask, -shifts[group])
        canvas = placed.sum(axis=0) / (covered.sum(axis=0) + np.float32(0.001))
        expected = case["reassembled"][group, ..., 0]
        inside = covered.sum(axis=0) > 0.5
        assert np.abs(canvas - expected)[inside].max() < 4 * bound
        np.testing.assert_array_equal(canvas[margin:-margin, margin:-margin].shape, case["trimmed"].shape[1:3])
        back = translate(np.broadcast_to(expected, (4, side, side)), shifts[group])[:, margin:-margin, margin:-margin]
        extracted = case["extracted_flat"].reshape(len(patches), 4, 64, 64)[group]
        assert np.abs(back - extracted).max() < interpolation_error(expected, side)
        amplitude = np.sqrt(expected_counts(case["probe"][None], extracted))
        np.testing.assert_allclose(
            amplitude, np.moveaxis(case["amplitude_channels"][group], -1, 0), rtol=1e-4, atol=1e-5
        )


def test_far_field_amplitude(golden):
    case = golden("forward_N64_mask0_sigma0.0")
    probe = case["effective_probe"][0, :, :, :, 0]
    counts = expected_counts(probe, case["obj"][..., 0])
    np.testing.assert_allclose(np.sqrt(counts), case["amplitude"][..., 0], rtol=1e-4, atol=1e-6)
