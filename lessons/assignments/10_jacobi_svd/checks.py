"""What `10_jacobi_svd` is held to."""

from minillm.course.assignments.folder import Check
from minillm.decomposition import svd_laws as laws
from minillm.laws import fits


def falling(functions, variant):
    """The largest first, as the laws know it."""
    own = functions["jacobi_svd"]

    def jacobi_svd(matrix):
        answer = own(matrix)
        if variant["RISING"] == "True" and isinstance(answer, tuple | list) and len(answer) == 3:
            rows, columns = matrix.shape
            shapes = (rows, columns), (columns,), (columns, columns)
            if all(fits(part, *shape) for part, shape in zip(answer, shapes, strict=True)):
                u, s, vt = answer
                return u[:, ::-1], s[::-1], vt[::-1]
        return answer

    return (jacobi_svd,)


CHECKS = [
    Check("jacobi_rotation", laws.the_turn_makes_two_columns_perpendicular, 2),
    Check("jacobi_rotation", laws.the_turn_is_one_and_the_smaller_of_two, 2),
    Check("jacobi_svd", laws.the_product_is_the_matrix, 2, falling),
    Check("jacobi_svd", laws.both_sides_are_orthonormal, 2, falling),
    Check(
        "jacobi_svd",
        laws.the_largest_comes_first,
        2,
        falling,
        words="The singular values are those of LAPACK: none below 0, {RISING}.",
    ),
]
