"""Laws of training in a random subspace, and of the dimension that a task asks for."""

import gzip

import numpy as np
import pytest

from minillm.data.digits import parse_digits
from minillm.decomposition.subspace import init_projection, intrinsic_dimension, subspace_point
from minillm.decomposition.subspace_vjp import subspace_point_vjp
from minillm.errors import DownloadError, InputError


def test_by_hand():
    # Two directions of three parameters: (1, 0, 0) and (0, 0.6, 0.8).
    projection = np.array([[1.0, 0.0], [0.0, 0.6], [0.0, 0.8]])
    np.testing.assert_allclose(subspace_point(np.ones(3), projection, np.array([2.0, 5.0])), [3, 4, 5])


def test_directions_have_length_one_and_differ():
    projection = init_projection(200, 20, np.random.default_rng(0), np.float64)
    products = projection.T @ projection
    np.testing.assert_allclose(np.diag(products), 1)
    assert np.abs(products - np.eye(20)).max() < 0.5
    with pytest.raises(InputError, match="d is 4; of 3 parameters, take from 1 to 3"):
        init_projection(3, 4, np.random.default_rng(0))


def test_with_all_dimensions_everything_can_be_reached():
    """A square random P has an inverse: any theta is some z's. With fewer, what is left is the way to the subspace."""
    rng = np.random.default_rng(1)
    goal, start = rng.standard_normal((2, 9))
    whole = init_projection(9, 9, rng, np.float64)
    np.testing.assert_allclose(subspace_point(start, whole, np.linalg.solve(whole, goal - start)), goal)
    few = init_projection(9, 4, rng, np.float64)
    z = np.zeros(4)
    for _ in range(4000):
        point, vjp = subspace_point_vjp(start, few, z)
        z = z - 0.3 * vjp(point - goal)[0]
    basis, _ = np.linalg.qr(few)
    left = (goal - start) - basis @ (basis.T @ (goal - start))
    np.testing.assert_allclose(goal - subspace_point(start, few, z), left, atol=1e-9)


def test_the_dimension_lies_between_two_that_were_measured():
    assert intrinsic_dimension([10, 40], [0.8, 1.0], 1.0) == pytest.approx(20)  # half way on a log scale
    assert intrinsic_dimension([10, 20, 40], [0.2, 0.9, 1.0], 1.0) == pytest.approx(20)
    with pytest.raises(InputError, match=r"0\.900 is not reached by any of the dimensions \[10, 40\]; measure larger"):
        intrinsic_dimension([10, 40], [0.2, 0.4], 1.0)
    with pytest.raises(InputError, match=r"reached by the first of the dimensions .* measure smaller"):
        intrinsic_dimension([10, 40], [0.95, 1.0], 1.0)


def test_digits_are_made_small(tmp_path):
    image = np.zeros((28, 28), int)
    image[2:6, 2:6] = 255  # the block 4 x 4 that, behind the rim of 2, is pixel (1, 1)
    path = tmp_path / "digits.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write(",".join(map(str, [*image.ravel(), 7])) + "\n")
    images, labels = parse_digits(path)
    assert labels.tolist() == [7]
    expected = np.zeros((8, 8))
    expected[1, 1] = 1
    np.testing.assert_array_equal(images[0].reshape(8, 8), expected)
    path.write_bytes(b"no gzip")
    with pytest.raises(DownloadError, match="is no table of digits"):
        parse_digits(path)
