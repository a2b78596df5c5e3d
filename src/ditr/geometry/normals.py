"""Normals: of meshes, and for clouds that come without the flattest direction of each point's neighbourhood.

The published indoor models take normals of meshes, which point to the side from which the surface was seen. A plane
through the nearest neighbours (Hoppe et al., 1992) gives the same up to the sign, and the cameras give the sign.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.geometry.bounds import bounding_box

__all__ = ["estimate_normals", "mesh_normals"]

Array = NDArray[np.float64]

# Points handled at a time: 16 neighbours of so many points take 25 MB.
_CHUNK = 1 << 16
# A neighbourhood whose second extent is this share of its first, squared, is a line: it has no plane.
_LINE = 1e-8
# Within this share of the cloud's diagonal, what is outwards cannot be told.
_UNDECIDED = 0.05


def estimate_normals(
    coord: NDArray[np.floating[Any]],
    *,
    neighbours: int = 16,
    viewpoints: NDArray[np.floating[Any]] | None = None,
    rows: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.float32]:
    """Unit normals by principal components over each point's nearest neighbours.

    Points at the same place count as one, so repeated points do not crowd out a neighbourhood. Neighbourhoods without a
    plane (points on a line, fewer than three points) still get a unit vector: of the directions that they leave open
    the one that looks most towards the viewpoint.

    Args:
        coord: (N, 3) metres. Large offsets (UTM) are harmless in float64.
        neighbours: how many, the point itself included; as many as there are in smaller clouds.
        viewpoints: where the surface was seen from: for each point that is asked for its own, (N, 3), or (V, 3) camera
            centres, of which the nearest counts (where V is N they are each point's own). Normals point to that side.
            Without any they point outwards, away from the middle of the bounding box, and where that is nearly along
            the surface (a floor, a wall through the middle) upwards, to +z.
        rows: (n,) the points that are asked for; None for all.

    Returns:
        (N, 3) or (n, 3) float32 of unit length, never NaN.

    Raises:
        InputError: no points, points or viewpoints of another shape or that are not finite, or less than 3 neighbours.
    """
    points = _checked("points", coord)
    if neighbours < 3:
        raise InputError("neighbours", f"it is {neighbours}", "Give 3 or more: a plane has three points")
    seen_from = None if viewpoints is None else _checked("viewpoints", viewpoints)
    # Small numbers keep the products below exact.
    low, high = bounding_box(points)
    middle = (low + high) / 2
    distinct, place = np.unique(points - middle, axis=0, return_inverse=True)
    place = place.reshape(-1)
    low, high = bounding_box(distinct)
    diagonal = float(np.linalg.norm(high - low))
    tree_points = distinct
    if rows is not None:
        points = points[rows]
        some, place = np.unique(place[rows], return_inverse=True)
        distinct = distinct[some]
    normal, flat = _planes(distinct, tree_points, neighbours)
    to_viewer = None if seen_from is None else _to_viewer(points - middle, seen_from - middle)
    result = np.empty((len(points), 3), dtype=np.float32)
    for start in range(0, len(points), _CHUNK):
        part = slice(start, start + _CHUNK)
        here = place[part]
        wanted = distinct[here] if to_viewer is None else to_viewer[part]
        vague = _UNDECIDED * diagonal if to_viewer is None else 0.0
        result[part] = _oriented(normal[here], flat[here], wanted, vague)
    return result


def _checked(what: str, value: NDArray[np.floating[Any]]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3 or len(array) == 0:
        raise InputError(what, f"shape {array.shape}", "Normals need at least one, (N, 3)")
    if not np.isfinite(array).all():
        raise InputError(what, "some are not finite", "Remove these points")
    return array


def _planes(points: Array, cloud: Array, neighbours: int) -> tuple[Array, NDArray[np.bool_]]:
    """Axes of the neighbourhoods of M points in a cloud (M, 3), and whether they are planes (M,).

    Either is (normal, True), (direction of a line, False), or (zeros, False) where there is a single point.
    """
    # Imported late: nobody who has normals should wait for it.
    from scipy.spatial import cKDTree

    count = min(neighbours, len(cloud))
    tree = cKDTree(cloud)
    axis, flat = np.zeros_like(points), np.zeros(len(points), dtype=bool)
    if count < 2:
        return axis, flat
    for start in range(0, len(points), _CHUNK):
        part = slice(start, start + _CHUNK)
        near = cloud[tree.query(points[part], k=count)[1]]
        near = near - near.mean(axis=1, keepdims=True)
        # In units of the neighbourhood: squares of tiny extents would vanish.
        near /= np.abs(near).max(axis=(1, 2), keepdims=True)
        extent, directions = np.linalg.eigh(near.transpose(0, 2, 1) @ near)
        flat[part] = extent[:, 1] > _LINE * extent[:, 2]
        axis[part] = np.where(flat[part, None], directions[:, :, 0], directions[:, :, 2])
    return axis, flat


def _to_viewer(points: Array, viewpoints: Array) -> Array:
    """(N, 3) from each point to its own viewpoint, or to the nearest one."""
    if len(viewpoints) == len(points):
        return viewpoints - points
    from scipy.spatial import cKDTree

    return np.asarray(viewpoints[cKDTree(viewpoints).query(points)[1]] - points)


def _oriented(axis: Array, flat: NDArray[np.bool_], wanted: Array, vague: float) -> Array:
    """Normals with the sign that looks along ``wanted``, or upwards where the two are closer to square than ``vague``.

    Where there is no plane, the part of ``wanted`` (or else of +z, +x, +y) that is square to ``axis`` is the normal.
    """
    along = np.einsum("ni,ni->n", axis, wanted)
    # Upwards; for a wall the first of x and y decides, so that the sign does not hang on noise in z.
    up = np.select([np.abs(axis[:, i]) > 1e-3 for i in (2, 0)], [axis[:, 2], axis[:, 0]], axis[:, 1])
    sign = np.where(np.where(np.abs(along) > vague, along, up) < 0, -1.0, 1.0)
    result = axis * sign[:, None]
    for row in np.flatnonzero(~flat):
        result[row] = _square_to(axis[row], wanted[row])
    return np.asarray(result / np.linalg.norm(result, axis=1, keepdims=True))


def _square_to(axis: Array, wanted: Array) -> Array:
    scale = max(float(np.abs(wanted).max()), np.finfo(float).tiny)
    for direction in (wanted / scale, *np.eye(3)[[2, 0, 1]]):
        rest = direction - axis * (axis @ direction)
        if np.linalg.norm(rest) > 1e-6:
            return np.asarray(rest)
    raise AssertionError("three axes cannot all be parallel to one")


def mesh_normals(coord: NDArray[np.floating[Any]], faces: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Normals of a mesh's vertices: of the faces around each, weighted by their areas.

    Args:
        coord: (N, 3) vertices.
        faces: (M, 3) numbers of vertices, counterclockwise from outside.

    Returns:
        (N, 3) float32 of unit length; zeros where a vertex has no face, or none with an area.
    """
    corners = np.asarray(coord, dtype=np.float64)[faces]
    # The cross product's length is twice the area.
    weighted = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat, count = faces.ravel(), len(coord)
    sums = [np.bincount(flat, np.repeat(weighted[:, axis], 3), minlength=count) for axis in range(3)]
    normal = np.stack(sums, axis=1).astype(np.float64)  # without a face they are whole numbers
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    found: NDArray[np.float64] = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
    return found.astype(np.float32)
