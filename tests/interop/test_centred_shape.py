"""The pixels of a client's object that only the scan tells of."""

import logging

import numpy as np
import pytest

from ptycho.acquisition.centring import half_pixel
from ptycho.assembly.stitch import stitch
from ptycho.base.errors import DataError
from ptycho.interop.frames import centred_shape, on_grid

SIZE = 8


def positions_on(shape, metres):
    """Return the pixels (y, x) that a client maps positions about the middle of its object to."""
    return np.asarray(metres, float) + (np.array(shape) - 1) / 2


@pytest.mark.parametrize("shape", [(40, 51), (41, 50), (20, 20)])
def test_the_shape_is_that_of_an_object_centred_on_the_scan(shape, caplog):
    scan = [(-5.25, 3.5), (5.25, -3.5), (1.0, 2.0)]
    assert centred_shape(positions_on(shape, scan)) == shape
    assert not caplog.records


def test_rounding_of_metres_is_no_displacement(caplog):
    centred_shape(positions_on((40, 51), [(-5.0, 3.0), (5.04, -3.0)]))
    assert not caplog.records


def test_a_scan_beside_the_middle_of_its_object_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        shape = centred_shape(positions_on((40, 51), [(-5.0, 3.0), (5.3, -3.0)]))
    assert shape == (40, 51)
    [record] = caplog.records
    assert "isn't centred on its object" in record.message
    assert "40.30 x 51.00 px" in record.message


@pytest.mark.parametrize("far", [-1e3, 1e6])
def test_positions_that_no_object_holds_are_refused(far):
    with pytest.raises(DataError, match="count positions from the object's first pixel"):
        centred_shape(np.array([[far, far], [far + 3, far + 3]]))


def test_a_point_returns_to_the_pixel_where_the_client_has_it():
    """A point at the client's pixel (17, 23) is in patches where their positions say, and stitched lies there again."""
    shape, point = (40, 51), np.array([17, 23])
    theirs = positions_on(shape, [(-1, -1.5), (1, 1.5), (0, -0.5)])
    # The client: an object pixel k lands on patch index (N - 1) / 2 + k - position.
    indices = point + (SIZE - 1) / 2 - theirs
    assert (indices == np.rint(indices)).all()
    patches = np.zeros((3, SIZE, SIZE), np.complex64)
    for patch, (row, column) in zip(patches, indices.astype(int), strict=True):
        patch[row, column] = 1
    canvas, _, origin = stitch(patches, theirs + half_pixel(SIZE), np.ones((SIZE, SIZE)))
    laid = on_grid(canvas, origin, centred_shape(theirs))
    assert laid.shape == shape
    assert np.argwhere(abs(laid) > 1e-6).tolist() == [point.tolist()]
    np.testing.assert_allclose(laid[17, 23], 1, rtol=1e-6)
