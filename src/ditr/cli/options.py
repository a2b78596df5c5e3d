"""Groups of options that several commands share, each declared once."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import tyro

if TYPE_CHECKING:
    from ditr.inference.object_rules import ObjectRules
    from ditr.inference.results import Outputs
    from ditr.scene import ReadOptions

__all__ = ["Counting", "OfDataset", "Reading", "Writing"]

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Reading:
    """How captures are read. Each but --force may stand in a capture's own capture.json; what is given here comes
    first."""

    profile: Literal["indoor", "outdoor"] | None = None
    """Kind of place: which points a view shows, and which model or recipe is for it. By default that of the model or
    recipe, and where it makes the choice, what the capture has: depth maps are taken indoors."""
    max_views: int | None = None
    """Largest number of views of a scene: random ones in training, equidistant ones otherwise. By default that of the
    model or recipe, or all."""
    up: Annotated[str | None, tyro.conf.arg(metavar="AXIS|X,Y,Z")] = None
    """Direction against gravity: x, y, z, -x, -y, -z or numbers as 0,0,1; by default found from points and cameras."""
    substitute: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """Values for attributes that the points may lack, as color=127.5."""
    strength_scale: float | None = None
    """Number by which intensities are divided to lie in 0..1 (255 for nuScenes); by default that of the model or
    recipe."""
    poses: Literal["opengl", "opencv", "world-to-camera", "world-to-camera-opengl"] | None = None
    """Meaning of the matrices of the poses: camera to world with OpenGL axes (nerfstudio's) or OpenCV axes, or world to
    camera. By default that of the format, which is tried against the points."""
    cloud_axes: Literal["x,y,z", "x,-z,y", "x,z,-y", "x,z,y"] | None = None
    """Axes of the cloud that become x, y and z of the poses; x,-z,y for a cloud with y up and poses with z up."""
    skip_bad_views: bool = False
    """Leave out views whose pose, photograph, mask or depth map cannot be used, and say how many these are."""
    unit: str | None = None
    """Unit of points and poses: mm, cm, m, ft, or its metres; by default metres, which is looked at."""
    depth_unit: float | None = None
    """Metres of one unit of the depth maps; by default depth_unit_scale_factor of the capture, or 0.001."""
    scale: Literal["auto"] | None = None
    """auto finds the unit by the floor, above which people hold cameras at 1.5 m, to 15 % or so."""
    scale_by: tuple[str, str, float] | None = None
    """A B METRES: two views by name, or two points by number, and how far they are apart."""
    map: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="OLD=NEW")] = ()
    """Another name for a class, any number of times, or a file with one OLD=NEW a line: joins the class lists of
    captures that were labelled apart. OLD= takes a class out: its points are unlabelled."""
    occlusion: Literal["none", "z-buffer"] | None = None
    """Way in which views without a depth map find out what is hidden: z-buffer takes what lies before it in the cloud
    itself, with none hidden points count as seen. By default that of the model or recipe."""
    background: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Class that unlabelled points become; by default they are left out of learning and of figures."""
    every: int | None = None
    """Of a drive (a sequence of KITTI, a bag of ROS), take only every Nth sweep."""
    first: int | None = None
    """Of a drive, take so many sweeps at most."""
    topics: tuple[str, ...] = ()
    """Of a bag, the topics to read: that of the clouds, and those of images; by default the largest cloud and an image
    topic of each camera."""
    fixed_frame: str | None = None
    """Of a bag, the frame that stands still, in which motion is compensated; that of the vehicle for none. By default
    odom, or the root of tf."""
    tolerance: float | None = None
    """Of a bag, seconds between a sweep and a photograph at most (0.1)."""
    transform: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="'PARENT CHILD X Y Z ...'")
    ] = ()
    """Of a bag, a transform that its tf lacks, any number of times: 'PARENT CHILD X Y Z QX QY QZ QW'."""
    force: bool = False
    """Go on with a capture that is refused because it is implausible (never with one that is broken)."""

    def options(self) -> ReadOptions:
        """The same as data.

        Raises:
            InputError: a text that is no such value.
        """
        from ditr.captures.read_options import metres_of
        from ditr.errors import InputError
        from ditr.scene import CloudAxes, PoseConvention, ReadOptions

        up, substitute = _direction(self.up), tuple(map(_substitute, self.substitute))
        try:
            return ReadOptions(
                self.profile,
                self.max_views,
                up,
                substitute,
                self.strength_scale,
                None if self.poses is None else PoseConvention(self.poses),
                None if self.cloud_axes is None else CloudAxes(self.cloud_axes),
                skip_bad_views=self.skip_bad_views,
                unit=None if self.unit is None else metres_of(self.unit, "unit"),
                depth_unit=self.depth_unit,
                scale=self.scale,
                scale_by=self.scale_by,
                class_map=tuple(pair for text in self.map for pair in _renamed(text)),
                background=self.background,
                every=self.every,
                first=self.first,
                topics=self.topics,
                fixed_frame=self.fixed_frame,
                tolerance=self.tolerance,
                transforms=tuple(map(_transform, self.transform)),
                occlusion=self.occlusion,
            )
        except InputError as error:
            raise InputError(f"--{error.where.replace('_', '-')}", error.fault, error.remedy) from None


@dataclass(frozen=True)
class OfDataset:
    """A split of a prepared dataset in place of captures. Counts are kept scene by scene, so that the same command goes
    on where it was stopped; --vote is the published test procedure of the dataset then."""

    dataset: str | None = None
    """Name of the dataset in --data, such as ScanNet, nuScenes or SemanticKITTI."""
    split: str = "val"
    """That has labels."""
    limit: int | None = None
    """Only the first so many scenes."""
    last: bool = False
    """Of a run, take the last checkpoint and not the best one."""
    norms: str | None = None
    """Which norms to use, where a joint model has them per dataset; by default the model's own."""


@dataclass(frozen=True)
class Counting:
    """How points become things that are counted (docs/objects.md)."""

    object_gap: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[CLASS=]METRES...")] = ()
    """Points of a class that are no farther apart are of one thing: 0.2 for all classes, chair=0.1 for one. By default
    five distances between points, or a tenth of the class's usual length."""
    object_min_points: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[CLASS=]N...")] = ()
    """Points that a thing has at least (10)."""
    object_min_size: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[CLASS=]METRES...")] = ()
    """Longest side that a thing has at least; by default 0.2 of the class's usual one."""
    object_count: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS...")] = ()
    """Classes to count that are otherwise told by area, as floor, wall and road are."""
    object_area: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS...")] = ()
    """Classes to tell by area."""

    def rules(self) -> ObjectRules:
        """The same as data.

        Raises:
            InputError: a text that is no such value.
        """
        from ditr.inference.object_rules import ObjectRules

        return ObjectRules(
            gap=_by_class("--object-gap", self.object_gap, float),
            min_points=_by_class("--object-min-points", self.object_min_points, int),
            min_size=_by_class("--object-min-size", self.object_min_size, float),
            counted=self.object_count,
            by_area=self.object_area,
        )


@dataclass(frozen=True)
class Writing:
    """What is written of labels, and what opens it: docs/outputs.md."""

    no_pictures: bool = False
    """Write no pictures."""
    no_report: bool = False
    """Write no report.html, the page that shows the results."""
    pictures: bool = False
    """Write pictures of many captures too, which takes longer than all the rest."""
    class_colors: bool = False
    """Colour the points of labels.ply by their classes; their own colours stay, as original_red and so on."""
    cloudcompare: bool = False
    """Name further columns of labels.ply scalar_label and so on: CloudCompare loads no others without asking."""
    split_classes: bool = False
    """Write by_class/ID_NAME.ply for each class too, or .las and .laz for such a source."""
    measure: Annotated[float | Literal["auto"] | None, tyro.conf.arg(metavar="auto|METRES")] = None
    """Write classes.csv and classes.geojson: points, areas, volumes and footprints of each class, by voxels of this
    size; auto takes 2.5 times the distance between points."""
    label_images: bool = False
    """Write label_images/NAME.png for each photograph: the class of what each pixel shows, as an indexed PNG of its
    size."""
    objects: bool = False
    """Count things: write objects.csv, objects_by_class.csv, objects.geojson, boxes.ply and object.npy, and the column
    object of the points."""
    counting: Counting = field(default_factory=Counting)

    def outputs(self, *, many: bool = False) -> Outputs:
        """The same as data; of ``many`` captures pictures are drawn where that is asked for, and one report tells of
        all of them."""
        from ditr.errors import InputError
        from ditr.inference.results import Outputs

        unused = [each.name for each in fields(self.counting) if getattr(self.counting, each.name)]
        if unused and not self.objects:
            option = f"--{unused[0].replace('_', '-')}"
            raise InputError(option, "nothing is counted without --objects", "Add --objects, or leave it out")
        return Outputs(
            pictures=(self.pictures or not many) and not self.no_pictures,
            class_colors=self.class_colors,
            cloudcompare=self.cloudcompare,
            split_classes=self.split_classes,
            measure=self.measure,
            label_images=self.label_images,
            objects=self.counting.rules() if self.objects else None,
            report=not many and not self.no_report,
        )


def _by_class(option: str, texts: tuple[str, ...], kind: type[Number]) -> dict[str, Number]:
    """Numbers by the names of classes; one without a name is for all others."""
    from ditr.errors import InputError
    from ditr.inference.object_rules import EVERY

    found: dict[str, Number] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            found[name.strip() or EVERY] = kind(value)
        except ValueError:
            example = kind("20") if kind is int else kind("0.2")
            remedy = f"Write {example}, or chair={example} for one class"
            raise InputError(option, f"{text!r} is not [CLASS=]NUMBER", remedy) from None
    return found


def _direction(text: str | None) -> tuple[float, float, float] | None:
    from ditr.errors import InputError

    if text is None:
        return None
    sign, axis = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if axis in ("x", "y", "z"):
        x, y, z = (sign if axis == name else 0.0 for name in "xyz")
        return x, y, z
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError("--up", f"{text!r} is neither an axis nor three numbers", "Write y or 0,0,1, say") from None
    return x, y, z


def _substitute(text: str) -> tuple[str, float]:
    from ditr.errors import InputError

    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InputError("--substitute", f"{text!r} is not ATTRIBUTE=NUMBER", "Write color=127.5, say") from None


def _transform(text: str) -> tuple[str, str, float, float, float, float, float, float, float]:
    from ditr.errors import InputError

    try:
        parent, child, *numbers = text.split()
        x, y, z, qx, qy, qz, qw = map(float, numbers)
    except ValueError:
        remedy = "Write two frames, a position and a quaternion, as 'base_link velodyne 0 0 1.7 0 0 0 1'"
        raise InputError("--transform", f"{text!r} is not a transform", remedy) from None
    return parent, child, x, y, z, qx, qy, qz, qw


def _renamed(text: str) -> list[tuple[str, str]]:
    """Of an argument, or of the lines of a file of that name."""
    from ditr.errors import InputError

    lines, where = [text], "--map"
    if "=" not in text and Path(text).is_file():
        try:
            content = Path(text).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(text, f"it cannot be read ({error})", "Write one OLD=NEW a line, as UTF-8") from None
        lines, where = [line for line in content.splitlines() if line.strip()], text
    pairs = []
    for line in lines:
        old, equals, new = line.partition("=")
        if not equals or not old.strip():
            raise InputError(where, f"{line!r} is not OLD=NEW", "Write armchair=chair, or name a file of such lines")
        pairs.append((old.strip(), new.strip()))
    return pairs
