"""Ray casting against a room's triangles, and a visibility test that does not depend on the processor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.data.worlds.rooms.mesh import Mesh

__all__ = ["Hits", "RayCaster"]

_RIM = 1e-4  # metres at a triangle's border that hide nothing; far wider than the error of float32
_PASSES = 4


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
        ImportError: embreex is not installed.
    """

    def __init__(self, mesh: Mesh) -> None:
        try:
            from embreex.mesh_construction import TriangleMesh
            from embreex.rtcore_scene import EmbreeScene
        except ImportError as error:
            raise ImportError("Rooms needs embreex: pip install 'ditr[rooms]'") from error
        self.mesh = mesh
        self._scene = EmbreeScene(robust=True)
        self._triangles = TriangleMesh(self._scene, mesh.corner.astype(np.float32))
        longest = np.linalg.norm(mesh.corner - np.roll(mesh.corner, 1, axis=1), axis=2).max(axis=1)
        self._altitude = 2 * mesh.area / longest

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

        Embree computes in float32 and rounds differently on each kind of processor. Its hits are therefore taken as
        candidates, measured again in float64, and a hit on the very rim of a triangle hides nothing: whether embree
        found such a hit or missed it then makes no difference, and a seed gives the same cloud everywhere.
        """
        direction = points - origin
        reach = 1.0 - slack / np.linalg.norm(direction, axis=1)
        visible = np.zeros(len(points), dtype=np.bool_)
        pending, start = np.arange(len(points)), np.zeros(len(points))
        for _ in range(_PASSES):
            ray = direction[pending]
            hits = self.cast(origin + ray * start[:, None], ray)
            found = hits.triangle >= 0
            at, rim = self._measure(origin, ray, np.where(found, hits.triangle, 0))
            arrived = ~found | (at >= reach[pending])
            visible[pending[arrived]] = True
            again = ~arrived & (rim < _RIM)
            pending, start = pending[again], at[again] + 1e-4
            if not len(pending):
                break
        visible[pending] = True
        return visible

    def _measure(
        self, origin: NDArray[np.float64], ray: NDArray[np.float64], triangle: NDArray[np.int32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where rays meet the planes of triangles, and how far inside the border (metres) at least, in float64."""
        corner = self.mesh.corner[triangle]
        edge1, edge2 = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
        across = np.cross(ray, edge2)
        determinant = np.einsum("ij,ij->i", edge1, across)
        determinant = np.where(np.abs(determinant) < 1e-15, 1e-15, determinant)
        offset = origin - corner[:, 0]
        u = np.einsum("ij,ij->i", offset, across) / determinant
        turned = np.cross(offset, edge1)
        v = np.einsum("ij,ij->i", ray, turned) / determinant
        at = np.einsum("ij,ij->i", edge2, turned) / determinant
        return at, np.minimum(np.minimum(u, v), 1 - u - v) * self._altitude[triangle]
