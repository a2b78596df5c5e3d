"""Groups of options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import tyro

if TYPE_CHECKING:
    from ditr.evaluation.voting import Voting
    from ditr.inference.object_rules import ObjectRules
    from ditr.inference.results import Outputs
    from ditr.inference.smoothing import Smoothing
    from ditr.scene import ReadOptions

__all__ = ["UNSET", "Counting", "OfDataset", "Reading", "Votes", "Writing"]

Number = TypeVar("Number", int, float)

UNSET = tyro.conf.arg(help_behavior_hint="")
"""For options that are left out by default: their help ends without "(default: None)" or "(default: False)"."""


@dataclass(frozen=True)
class Reading:
    """How to read captures. Every option but --force can also be set in a capture's capture.json; the command line
    takes precedence."""

    profile: Annotated[Literal["indoor", "outdoor"] | None, UNSET] = None
    """Kind of place. It determines which points a view can show, and which model or recipe fits. The default is that of
    the model or recipe. Where the model is chosen for you, captures with depth maps count as indoor."""
    max_views: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Largest number of views per scene, chosen at random in training and evenly otherwise. The default is that of the
    model or recipe, or all."""
    up: Annotated[str | None, tyro.conf.arg(metavar="AXIS|X,Y,Z"), UNSET] = None
    """Up direction: x, y, z, -x, -y, -z, or three numbers such as 0,0,1. By default it is estimated from points and
    cameras."""
    substitute: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE"), UNSET] = ()
    """Values for attributes that the points lack, such as color=127.5."""
    strength_scale: Annotated[float | None, tyro.conf.arg(metavar="NUMBER"), UNSET] = None
    """Divide intensities by this number to bring them to 0..1 (255 for nuScenes). The default is that of the model or
    recipe."""
    poses: Annotated[Literal["opengl", "opencv", "world-to-camera", "world-to-camera-opengl"] | None, UNSET] = None
    """What the pose matrices mean: camera to world with OpenGL axes (as in nerfstudio) or OpenCV axes, or world to
    camera. The default is that of the format, checked against the points."""
    cloud_axes: Annotated[
        Literal["x,y,z", "x,-z,y", "x,z,-y", "x,z,y"] | None, tyro.conf.arg(metavar="AXES"), UNSET
    ] = None
    """Axes of the cloud that become x, y and z of the poses: x,-z,y for a cloud with y up and poses with z up; or
    x,z,-y, x,z,y or x,y,z."""
    skip_bad_views: Annotated[bool, UNSET] = False
    """Skip views whose pose, photograph, mask or depth map cannot be used, and report how many there are."""
    unit: Annotated[str | None, tyro.conf.arg(metavar="UNIT"), UNSET] = None
    """Unit of points and poses: mm, cm, m, ft, or its length in metres. The default is metres, and is checked for
    plausibility."""
    depth_unit: Annotated[float | None, tyro.conf.arg(metavar="METRES"), UNSET] = None
    """Length of one unit of the depth maps in metres. The default is the capture's depth_unit_scale_factor, or
    0.001."""
    scale: Annotated[Literal["auto"] | None, UNSET] = None
    """auto estimates the unit from the height of the cameras above the floor, assuming 1.5 m; accurate to about 15
    %."""
    scale_by: Annotated[tuple[str, str, float] | None, tyro.conf.arg(metavar="A B METRES"), UNSET] = None
    """Two views (by name) or two points (by number), and the distance between them in metres."""
    map: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="OLD=NEW")] = ()
    """Rename a class, or name a file with one OLD=NEW per line. Joins the class lists of captures that were
    labelled separately. OLD= drops a class: its points become unlabelled."""
    occlusion: Annotated[Literal["none", "z-buffer"] | None, UNSET] = None
    """How to find hidden points in views without a depth map: z-buffer hides points behind other points of the cloud;
    none treats every point as visible. The default is that of the model or recipe."""
    background: Annotated[str | None, tyro.conf.arg(metavar="NAME"), UNSET] = None
    """Class for unlabelled points. By default they are ignored in training and evaluation."""
    every: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """For a drive (a KITTI sequence, a ROS bag): read only every Nth sweep."""
    first: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """For a drive: read at most N sweeps."""
    topics: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TOPIC..."), UNSET] = ()
    """For a bag: the topics of the cloud and of the images. By default the largest cloud, and one image topic per
    camera."""
    fixed_frame: Annotated[str | None, tyro.conf.arg(metavar="FRAME"), UNSET] = None
    """For a bag: the fixed frame used to compensate for motion; name the vehicle's frame for no compensation. The
    default is odom, or the root of tf."""
    tolerance: Annotated[float | None, tyro.conf.arg(metavar="SECONDS"), UNSET] = None
    """For a bag: longest time in seconds between a sweep and a photograph (by default 0.1)."""
    transform: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="'PARENT CHILD X Y Z ...'")
    ] = ()
    """For a bag: a transform that is missing from its tf, as 'PARENT CHILD X Y Z QX QY QZ QW', in metres."""
    force: Annotated[bool, UNSET] = False
    """Continue with a capture that was refused as implausible. Broken captures are always refused."""

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
    """Use a split of a prepared dataset instead of captures. Results are saved scene by scene, so the same command
    resumes after an interruption. With a dataset, --vote means its published test procedure."""

    dataset: Annotated[str | None, tyro.conf.arg(metavar="DATASET"), UNSET] = None
    """Name of the dataset in --data, such as ScanNet, nuScenes or SemanticKITTI."""
    split: Annotated[str, tyro.conf.arg(metavar="SPLIT")] = "val"
    """Split to use; it must have labels."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Process only the first N scenes."""
    last: Annotated[bool, UNSET] = False
    """For a run, take the last checkpoint instead of the best one."""
    norms: Annotated[str | None, tyro.conf.arg(metavar="DATASET"), UNSET] = None
    """For a joint model with separate norms for each dataset, the dataset whose norms are used. The default is the
    model's own."""


@dataclass(frozen=True)
class Votes:
    """How points get their labels from what a network says of voxels. By default every point has that of its voxel."""

    vote: Annotated[bool, UNSET] = False
    """Take a vote of every point instead of one per voxel: slower, but the published way to test."""
    variants: Annotated[Literal["indoor", "s3dis", "nuscenes", "rotations", "none"] | None, UNSET] = None
    """Also vote over rotated, scaled and flipped copies of the scene; the names are the published sets. Implies
    --vote."""
    thin: Annotated[float | None, tyro.conf.arg(metavar="METRES"), UNSET] = None
    """With voting: keep one random point per voxel of this size in metres first; the other points take its label."""
    smooth: Annotated[bool, UNSET] = False
    """Blend the logits of the eight voxels around each point by distance, instead of using only the point's own voxel.
    Borders between classes become smooth instead of stepped."""

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        return [f"--{one.name}" for one in fields(self) if getattr(self, one.name) != one.default]

    @property
    def by_votes(self) -> bool:
        """Whether there are votes; naming variants asks for them too."""
        return self.vote or self.variants is not None

    def procedure(self, progress: Callable[[float, float], None] | None = None) -> Voting | Smoothing | None:
        """The same for whatever labels points.

        Args:
            progress: of the votes.

        Raises:
            InputError: thinning without votes, or to a size that is none; smoothing with votes.
        """
        from ditr.data.augment.variants import VARIANTS
        from ditr.errors import InputError
        from ditr.evaluation.voting import Voting
        from ditr.inference.smoothing import Smoothing

        if self.smooth and self.by_votes:
            fault = "with voting every point already has its own scores"
            raise InputError("--smooth", fault, "Leave it out, or the votes")
        if not self.by_votes:
            if self.thin is not None:
                raise InputError("--thin", "it does nothing without votes", "Add --vote, or leave it out")
            return Smoothing() if self.smooth else None
        return Voting(VARIANTS[self.variants or "none"], thin=self.thin, progress=progress)


@dataclass(frozen=True)
class Counting:
    """How points are grouped into objects to count (see docs/objects.md)."""

    object_gap: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[CLASS=]METRES..."), UNSET] = ()
    """Points of one class that are at most this far apart belong to one object: 0.2 for all classes, chair=0.1 for one.
    The default is five times the point spacing, or a tenth of the usual length of such objects."""
    object_min_points: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[CLASS=]N..."), UNSET] = ()
    """Smallest number of points of an object (by default 10)."""
    object_min_size: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[CLASS=]METRES..."), UNSET] = ()
    """Smallest length of the longest side of an object; by default 0.2 times the usual length in its class."""
    object_count: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS..."), UNSET] = ()
    """Classes to count although they are normally measured by area, such as floor, wall and road."""
    object_area: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS..."), UNSET] = ()
    """Classes to measure by area instead of counting."""

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
    """Which results to write (see docs/outputs.md)."""

    no_pictures: Annotated[bool, UNSET] = False
    """Do not write pictures."""
    no_report: Annotated[bool, UNSET] = False
    """Do not write report.html, a page that shows the results."""
    pictures: Annotated[bool, UNSET] = False
    """Write pictures even for many captures. This takes longer than everything else together."""
    class_colors: Annotated[bool, UNSET] = False
    """Colour the points of labels.ply by class; their original colours are kept as original_red and so on."""
    cloudcompare: Annotated[bool, UNSET] = False
    """Prefix the extra columns of labels.ply with scalar_ (scalar_label, ...), so that CloudCompare loads them without
    asking."""
    split_classes: Annotated[bool, UNSET] = False
    """Also write one file per class, by_class/ID_NAME.ply; .las or .laz if the source is one."""
    measure: Annotated[float | Literal["auto"] | None, tyro.conf.arg(metavar="auto|METRES"), UNSET] = None
    """Write classes.csv and classes.geojson with the points, area, volume and footprint of each class, measured in
    voxels of this size; auto takes 2.5 times the point spacing, or more for noisy points."""
    label_images: Annotated[bool, UNSET] = False
    """Write label_images/NAME.png for each photograph: the class of each pixel, as an indexed PNG of the same size."""
    objects: Annotated[bool, UNSET] = False
    """Count objects: write objects.csv, objects_by_class.csv, objects.geojson, boxes.ply and object.npy, and add an
    object column to the points."""
    counting: Counting = field(default_factory=Counting)

    def outputs(self, *, many: bool = False) -> Outputs:
        """The same as data; of ``many`` captures pictures are drawn where that is asked for, and one report tells of
        all of them."""
        from ditr.errors import InputError
        from ditr.inference.results import Outputs

        unused = [each.name for each in fields(self.counting) if getattr(self.counting, each.name)]
        if unused and not self.objects:
            option = f"--{unused[0].replace('_', '-')}"
            raise InputError(option, "it does nothing without --objects", "Add --objects, or leave it out")
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
        raise InputError("--up", f"{text!r} is neither an axis nor three numbers", "Write it like y or 0,0,1") from None
    return x, y, z


def _substitute(text: str) -> tuple[str, float]:
    from ditr.errors import InputError

    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InputError("--substitute", f"{text!r} is not ATTRIBUTE=NUMBER", "Write it like color=127.5") from None


def _transform(text: str) -> tuple[str, str, float, float, float, float, float, float, float]:
    from ditr.errors import InputError

    try:
        parent, child, *numbers = text.split()
        x, y, z, qx, qy, qz, qw = map(float, numbers)
    except ValueError:
        remedy = "Write two frames, a position and a quaternion, such as 'base_link velodyne 0 0 1.7 0 0 0 1'"
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
            raise InputError(text, f"it cannot be read ({error})", "Write one OLD=NEW per line, in UTF-8") from None
        lines, where = [line for line in content.splitlines() if line.strip()], text
    pairs = []
    for line in lines:
        old, equals, new = line.partition("=")
        if not equals or not old.strip():
            raise InputError(
                where, f"{line!r} is not OLD=NEW", "Write it like armchair=chair, or name a file with such lines"
            )
        pairs.append((old.strip(), new.strip()))
    return pairs
