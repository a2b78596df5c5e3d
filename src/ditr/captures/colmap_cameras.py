"""COLMAP's camera models as cameras of ours, exactly, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ditr.captures.intrinsics import plainest_lens
from ditr.errors import InputError
from ditr.scene import Camera, CameraModel

__all__ = ["LENSES", "ColmapCamera", "Lens", "lens_called"]

_PLANE, _ANGLE = CameraModel.FULL_OPENCV, CameraModel.OPENCV_FISHEYE
_UNDISTORT = "Undistort the images with `colmap image_undistorter`, and name the folder that it writes"


@dataclass(frozen=True)
class Lens:
    """A camera model: its parameters are focal lengths, principal point, and the terms of its distortion.

    Attributes:
        name: as in text files.
        focals: how many focal lengths there are; 0 for a camera without.
        model: ours that has the same terms.
        terms: which of ours each is; ``-`` for one that ours lacks, which has to be 0.
    """

    name: str
    focals: int
    model: CameraModel
    terms: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """How many numbers a camera has."""
        return self.focals + 2 + len(self.terms)


def _lens(name: str, focals: int, model: CameraModel, terms: str) -> Lens:
    return Lens(name, focals, model, tuple(terms.split()))


LENSES: tuple[Lens, ...] = (
    _lens("SIMPLE_PINHOLE", 1, _PLANE, ""),
    _lens("PINHOLE", 2, _PLANE, ""),
    _lens("SIMPLE_RADIAL", 1, _PLANE, "k1"),
    _lens("RADIAL", 1, _PLANE, "k1 k2"),
    _lens("OPENCV", 2, _PLANE, "k1 k2 p1 p2"),
    _lens("OPENCV_FISHEYE", 2, _ANGLE, "k1 k2 k3 k4"),
    _lens("FULL_OPENCV", 2, _PLANE, "k1 k2 p1 p2 k3 k4 k5 k6"),
    _lens("FOV", 2, _PLANE, "-"),
    _lens("SIMPLE_RADIAL_FISHEYE", 1, _ANGLE, "k1"),
    _lens("RADIAL_FISHEYE", 1, _ANGLE, "k1 k2"),
    _lens("THIN_PRISM_FISHEYE", 2, _ANGLE, "k1 k2 - - k3 k4 - -"),
    _lens("RAD_TAN_THIN_PRISM_FISHEYE", 2, _ANGLE, "k1 k2 k3 k4 - - - - - - - -"),
    _lens("SIMPLE_DIVISION", 1, _PLANE, "-"),
    _lens("DIVISION", 2, _PLANE, "-"),
    _lens("SIMPLE_FISHEYE", 1, _ANGLE, ""),
    _lens("FISHEYE", 2, _ANGLE, ""),
    _lens("EUCM", 2, _PLANE, "- -"),
    _lens("EQUIRECTANGULAR", 0, _PLANE, ""),
)
"""By their numbers in binary files."""
_BY_NAME: Mapping[str, Lens] = MappingProxyType({lens.name: lens for lens in LENSES})
_ORDER = {_PLANE: ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"), _ANGLE: ("k1", "k2", "k3", "k4")}


def lens_called(name: str) -> Lens | None:
    """The camera model of a name."""
    return _BY_NAME.get(name)


@dataclass(frozen=True)
class ColmapCamera:
    """A camera as COLMAP has it."""

    number: int
    lens: Lens
    width: int
    height: int
    parameters: tuple[float, ...]

    def camera(self, model: Path) -> Camera:
        """The same camera in our terms; both count pixels from the image's corner, the first centre at 0.5.

        Args:
            model: the folder that it was read from, for errors.

        Raises:
            InputError: a model or a term that ours lack, or numbers that no camera has.
        """
        lens, focals = self.lens, self.lens.focals
        where = f"{model}, camera {self.number}"
        terms = self.parameters[focals + 2 :]
        lacking = any(value != 0 for term, value in zip(lens.terms, terms, strict=True) if term == "-")
        if focals == 0 or lacking:
            raise InputError(where, f"its model is {lens.name}, which is not supported", _UNDISTORT)
        known = {term: value for term, value in zip(lens.terms, terms, strict=True) if term != "-"}
        distortion = tuple(known.get(term, 0.0) for term in _ORDER[lens.model])
        kind = lens.model
        if kind is _PLANE:
            kind, distortion = plainest_lens(distortion)
        cx, cy = self.parameters[focals : focals + 2]
        fx, fy = self.parameters[0], self.parameters[focals - 1]
        try:
            return Camera(self.width, self.height, fx, fy, cx, cy, kind, distortion)
        except InputError as error:
            raise InputError(where, error.fault, "Reconstruct it again, or leave out its images") from None
