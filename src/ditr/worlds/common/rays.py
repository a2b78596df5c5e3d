"""Ray casting against a world's triangles, and a visibility test that does not depend on the processor."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.worlds.common.mesh import Mesh

__all__ = ["Hits", "RayCaster", "require_embree"]

_RIM = 1e-5  # metres, as the ray sees them, at a triangle's border that hide nothing; ten times float32's error


def require_embree() -> None:
    """Refuse early where the library that casts rays is missing.

    Raises:
        InputError: it is.
    """
    if find_spec("embreex") is None:
        fault = "it is not installed, and rooms and streets cannot be made without it"
        raise InputError("embreex", fault, "Install it: pip install 'ditr[rooms]'")


@dataclass(frozen=True, eq=False)
class Hits:
    """First hits of n rays.

    Attributes:
        triangle: (n,) int32, -1 where a ray hit nothing.
        distance: (n,) float32 in lengths of the ray's direction.
        u, v: (n,) float32, weights of the triangle's second and third corner.
    """

    triangle: NDArray[np.int32]
    distance: NDArray[np.float32]
    u: NDArray[np.float32]
    v: NDArray[np.float32]


class RayCaster:
    """Embree's acceleration structure over a mesh.

    Raises:
        InputError: embreex is not installed.
    """

    def __init__(self, mesh: Mesh) -> None:
        require_embree()
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.mesh = mesh
        self._scene = EmbreeScene(robust=True)
        self._triangles = TriangleMesh(self._scene, mesh.corner.astype(np.float32))

    def cast(self, origin: NDArray[np.float64], direction: NDArray[np.float64]) -> Hits:
        """First hits of rays from ``origin`` (3,) or (n, 3) along ``direction`` (n, 3), any length."""
        start = np.ascontiguousarray(np.broadcast_to(origin, direction.shape), dtype=np.float32)
        found = self._scene.run(start, np.ascontiguousarray(direction, dtype=np.float32), output=True)
        return Hits(found["primID"], found["tfar"], found["u"], found["v"])

    def blocked(self, start: NDArray[np.float32], direction: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether anything lies between ``start`` (n, 3) and ``start + direction``; (n,)."""
        ends = np.ones(len(start), dtype=np.float32)
        found: NDArray[np.int32] = self._scene.run(
            np.ascontiguousarray(start), np.ascontiguousarray(direction), dists=ends, query="OCCLUDED"
        )
        return found >= 0

    def sees(self, origin: NDArray[np.float64], points: NDArray[np.float64], slack: float = 0.003) -> NDArray[np.bool_]:
        """Which points (n, 3) on surfaces are visible from ``origin`` (3,); (n,).

        A point is hidden if its ray meets a triangle more than ``slack`` metres before it and not on the very rim of
        that triangle, all computed in float64. Embree only proposes the triangle: it computes in float32 and rounds
        differently on each kind of processor, but never by as much as the rim. Where it proposes one that the ray
        meets on the rim, all triangles are tried. So a seed gives the same cloud everywhere.
        """
        ray = points - origin
        reach = 1.0 - slack / np.linalg.norm(ray, axis=1)
        hits = self.cast(origin, ray)
        planes = self._planes(origin)
        at, inside = _meet(np.einsum("knj,nj->kn", planes.terms[:, hits.triangle], ray), planes, hits.triangle)
        visible: NDArray[np.bool_] = (hits.triangle < 0) | (at >= reach)
        unsure = np.flatnonzero(~visible & (inside < _RIM * np.linalg.norm(ray, axis=1)))
        for some in np.array_split(unsure, 1 + len(unsure) // 128):
            at, inside = _meet(ray[some] @ planes.terms.transpose(0, 2, 1), planes, np.arange(len(self.mesh)))
            rim = _RIM * np.linalg.norm(ray[some], axis=1)[:, None]
            visible[some] = ~((at > 0) & (at < reach[some, None]) & (inside >= rim)).any(axis=1)
        return visible

    def nearest(
        self, origin: NDArray[np.float64], ray: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """What rays (n, 3) from ``origin`` (3,) meet first: triangles (n,), -1 for none, and distances (n,).

        Distances are in lengths of the ray, inf where it meets nothing. As in :meth:`sees`, Embree only proposes the
        triangle, distances are float64, and where it proposes the rim of a triangle all others are tried.
        """
        hits = self.cast(origin, ray)
        planes = self._planes(origin, hits.triangle)
        at, inside = _meet(np.einsum("knj,nj->kn", planes.terms, ray), planes, np.arange(len(ray)))
        triangle, distance = hits.triangle.copy(), np.where(hits.triangle < 0, np.inf, at)
        rim = _RIM * np.linalg.norm(ray, axis=1)
        unsure = np.flatnonzero((triangle >= 0) & (inside < rim))
        if not len(unsure):
            return triangle, distance
        planes = self._planes(origin)
        for some in np.array_split(unsure, 1 + len(unsure) // 128):
            at, inside = _meet(ray[some] @ planes.terms.transpose(0, 2, 1), planes, np.arange(len(self.mesh)))
            at = np.where((at > 0) & (inside >= rim[some, None]), at, np.inf)
            best = at.argmin(axis=1)
            distance[some] = at[np.arange(len(some)), best]
            triangle[some] = np.where(np.isfinite(distance[some]), best, -1)
        return triangle, distance

    def _planes(self, origin: NDArray[np.float64], triangle: NDArray[np.int32] | None = None) -> _Planes:
        """Of all triangles, or of chosen ones."""
        corner = self.mesh.corner if triangle is None else self.mesh.corner[triangle]
        edge1, edge2, offset = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0], origin - corner[:, 0]
        turned = np.cross(offset, edge1)
        terms = np.stack([np.cross(edge2, edge1), np.cross(edge2, offset), turned])
        longest = np.linalg.norm(corner - np.roll(corner, 1, axis=1), axis=2).max(axis=1)
        return _Planes(terms, np.einsum("ij,ij->i", edge2, turned), longest)


@dataclass(frozen=True, eq=False)
class _Planes:
    """The triangles as rays from one point meet them (the method of Möller and Trumbore, solved for the ray).

    ``terms`` (3, T, 3) times a ray are the determinant and the two corner weights times the determinant; ``height``
    (T,) over the determinant is the distance in ray lengths; ``longest`` (T,) is the longest edge in metres.
    """

    terms: NDArray[np.float64]
    height: NDArray[np.float64]
    longest: NDArray[np.float64]


def _meet(
    products: NDArray[np.float64], planes: _Planes, triangle: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where rays meet triangles, in ray lengths, and how far inside the border, in metres times the ray's length.

    The second is a lower bound of the distance across the ray: on a surface that the ray grazes, an error of the ray
    moves the hit by far more than itself.
    """
    determinant = np.where(np.abs(products[0]) < 1e-15, 1e-15, products[0])
    u, v = products[1] / determinant, products[2] / determinant
    inside = np.minimum(np.minimum(u, v), 1 - u - v) * np.abs(determinant) / planes.longest[triangle]
    return planes.height[triangle] / determinant, inside
