"""The pictures of the paper for any scene: predictions side by side (Figs. 9-11) and features in colour (Figs. 4-8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import read_image
from ditr.geometry.orientation import find_up
from ditr.pictures.palette import GREY, difference_colors, label_colors, value_colors
from ditr.pictures.panels import LegendEntry, Panel, class_legend, difference_legend, sheet
from ditr.pictures.render import DrawnCloud, darkened
from ditr.pictures.viewpoint import two_sides
from ditr.scene import Scene, View

__all__ = [
    "BACKGROUND",
    "Overlay",
    "comparison_panels",
    "features_panels",
    "features_sheet",
    "figure_9",
    "input_colors",
]
__all__ += ["labels_panels", "spread_views", "student_panels", "student_sheet", "telling_view"]

BACKGROUND = (238, 240, 243)
"""Behind free views of a cloud: light, so that black points show, and not white, so that white walls do."""

_WIDTH = 960
_LONGEST = 5
"""Width over height up to which a free view has the shape of the photograph."""
_COMPONENTS = (
    "Colours: the first three principal components of the features, as red, green and blue. Similar features "
    "have similar colours."
)
_UNSEEN = (LegendEntry("no view shows the point, so it has no image feature", GREY),)

Labels = NDArray[np.integer[Any]]


def input_colors(scene: Scene) -> NDArray[np.uint8]:
    """What the 3D network is given to see, (N, 3) uint8: the points' colours, or their height where they have none."""
    return scene.color if scene.color is not None else value_colors(scene.coord @ find_up(scene))


def _input_caption(scene: Scene) -> str:
    return "Input: the points' colours" if scene.color is not None else "Input: height, from dark blue to light yellow"


class Overlay:
    """A photograph with points over it, to be coloured as often as wished.

    Surfaces that cover the photograph let some of it shine through; dots, which do not, stand on it darkened.
    Near points hide far ones.

    Args:
        cloud: the points.
        view: the photograph and its camera.
        width: of the picture in pixels.
    """

    def __init__(self, cloud: DrawnCloud, view: View, *, width: int = _WIDTH) -> None:
        self._raster = cloud.from_view(view, width=width)
        self.photo = darkened(read_image(view), self.size, brightness=1.0, vivid=1.0)
        self._opacity, brightness = (0.85, 0.75) if cloud.closed else (0.95, 0.45)
        self._back = darkened(self.photo, self.size, brightness=brightness)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._raster.size

    def paint(self, color: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture with points in these colours, (N, 3) uint8 -> (height, width, 3) uint8."""
        return self._raster.paint(color, self._back, opacity=self._opacity, shading=0.4)


def comparison_panels(
    scene: Scene,
    view: View,
    baseline: Labels,
    ditr: Labels,
    *,
    names: tuple[str, str] = ("PTv3", "DITR"),
    width: int = _WIDTH,
) -> list[list[Panel]]:
    """What the paper's Figs. 9-11 show: rows of (projected into the photograph, in 3D).

    Args:
        scene: with labels.
        view: one of its views; see :func:`telling_view`.
        baseline: (N,) predicted labels.
        ditr: (N,) predicted labels.
        names: of the two predictions, for the captions.
        width: of each panel in pixels.

    Returns:
        Five rows of two panels: photograph and input cloud, ground truth, DITR, baseline, and the difference.
    """
    cloud = DrawnCloud.of(scene)
    truth = scene.label if scene.label is not None else np.full(len(scene), -1, dtype=np.int32)
    flat = Overlay(cloud, view, width=width)
    free = cloud.from_viewpoint(two_sides(scene, size=_free_size(flat.size, width))[0])

    def pair(color: NDArray[np.uint8], what: str) -> list[Panel]:
        return [
            Panel(flat.paint(color), f"{what}, in the photograph"),
            Panel(free.paint(color, BACKGROUND), f"{what}, in 3D"),
        ]

    count = len(scene.class_names)
    return [
        [
            Panel(flat.photo, f"Photograph {view.name}"),
            Panel(free.paint(input_colors(scene), BACKGROUND), _input_caption(scene)),
        ],
        pair(label_colors(truth, count), "Ground truth"),
        pair(label_colors(ditr, count), names[1]),
        pair(label_colors(baseline, count), names[0]),
        pair(difference_colors(truth, baseline, ditr), "Difference"),
    ]


def figure_9(
    scene: Scene, view: View, baseline: Labels, ditr: Labels, *, names: tuple[str, str] = ("PTv3", "DITR")
) -> NDArray[np.uint8]:
    """One sheet of :func:`comparison_panels` with both legends, (height, width, 3) uint8."""
    used = [labels for labels in (scene.label, baseline, ditr) if labels is not None]
    return sheet(
        comparison_panels(scene, view, baseline, ditr, names=names),
        title=scene.name,
        legends=[class_legend(scene.class_names, *used), difference_legend(*names)],
    )


def labels_panels(
    scene: Scene,
    labels: Labels,
    class_names: Sequence[str],
    views: Sequence[View] | None = None,
    *,
    what: str,
    width: int = _WIDTH,
    colors: Sequence[tuple[int, int, int]] | None = None,
) -> list[list[Panel]]:
    """One labelling of a scene in some photographs, and in 3D from two sides.

    Args:
        scene: points and views.
        labels: (N,).
        class_names: what they mean.
        views: the views to show; by default up to four, spread over the capture.
        what: how the captions begin.
        width: of each panel in pixels.
        colors: of the classes, where a dataset has its own.
    """
    return _scene_panels(scene, label_colors(labels, len(class_names), colors), what, views, width)


def features_panels(
    scene: Scene,
    color: NDArray[np.uint8],
    views: Sequence[View] | None = None,
    *,
    seen: NDArray[np.bool_] | None = None,
    width: int = _WIDTH,
) -> list[list[Panel]]:
    """Features in colour (see :mod:`ditr.pictures.pca`): rows of (photograph, projected), then 3D from two sides.

    Args:
        scene: points and views.
        color: (N, 3) uint8.
        views: the views to show; by default up to four, spread over the capture.
        seen: (N,) the points that have features, which the 3D panels aim at; by default all.
        width: of each panel in pixels.
    """
    return _scene_panels(scene, color, "Features", views, width, seen)


def features_sheet(
    scene: Scene,
    color: NDArray[np.uint8],
    views: Sequence[View] | None = None,
    *,
    seen: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """One sheet of :func:`features_panels`, (height, width, 3) uint8."""
    return sheet(
        features_panels(scene, color, views, seen=seen),
        title=f"{scene.name}: image features on the points",
        note=_COMPONENTS,
        legends=[] if seen is None or seen.all() else [_UNSEEN],
    )


def student_panels(
    scene: Scene,
    teacher: NDArray[np.uint8],
    student: NDArray[np.uint8],
    views: Sequence[View] | None = None,
    *,
    width: int = 640,
) -> list[list[Panel]]:
    """Features of a student beside its teacher's: rows of (photograph, teacher, student), then input and both in 3D.

    Args:
        scene: points and views.
        teacher: (N, 3) uint8, of one common PCA with the student's (grey where no view shows a point).
        student: (N, 3) uint8.
        views: the views to choose from, by default all; up to three, spread over them, are shown.
        width: of each panel in pixels.
    """
    cloud = DrawnCloud.of(scene)
    rows, size = [], (2 * width // 3, width)
    for view in spread_views([view for view in (scene.views if views is None else views) if view.is_posed], 3):
        overlay = Overlay(cloud, view, width=width)
        size = _free_size(overlay.size, width)
        rows.append(
            [
                Panel(overlay.photo, f"Photograph {view.name}"),
                Panel(overlay.paint(teacher), "Teacher, lifted from the photographs"),
                Panel(overlay.paint(student), "Student, from the points alone"),
            ]
        )
    pictures = ((input_colors(scene), _input_caption(scene)), (teacher, "Teacher"), (student, "Student"))
    for side, viewpoint in zip(("in 3D", "from another side"), two_sides(scene, size=size), strict=True):
        free = cloud.from_viewpoint(viewpoint)
        rows.append([Panel(free.paint(color, BACKGROUND), f"{what}, {side}") for color, what in pictures])
    return rows


def student_sheet(
    scene: Scene,
    teacher: NDArray[np.uint8],
    student: NDArray[np.uint8],
    views: Sequence[View] | None = None,
    *,
    title: str = "",
) -> NDArray[np.uint8]:
    """One sheet of :func:`student_panels`, (height, width, 3) uint8."""
    title = title or f"{scene.name}: features of teacher and student"
    return sheet(student_panels(scene, teacher, student, views), title=title, note=_COMPONENTS, legends=[_UNSEEN])


def spread_views(views: Sequence[View], count: int) -> list[View]:
    """At most ``count`` views at even steps through the capture, the first among them."""
    if len(views) <= count:
        return list(views)
    return [views[int(i * len(views) / count)] for i in range(count)]


def telling_view(scene: Scene, interesting: NDArray[np.bool_]) -> View | None:
    """The view that shows the most of some points, by their area in the picture; None without views.

    To choose a picture of two predictions fairly, ask for the points at which they differ, whoever is right.

    Args:
        scene: points and views.
        interesting: (N,) bool.
    """
    cloud = DrawnCloud.of(scene)
    best: tuple[float, View] | None = None
    for view in scene.posed_views:
        index = cloud.from_view(view, width=160).index
        share = float((interesting[np.maximum(index, 0)] & (index >= 0)).mean())
        if best is None or share > best[0]:
            best = share, view
    return None if best is None else best[1]


def _free_size(photo: tuple[int, int], width: int) -> tuple[int, int]:
    """Height and width of a free view beside a photograph: the same, unless that is upright or a strip."""
    return photo if photo[1] // _LONGEST < photo[0] < photo[1] else (2 * width // 3, width)


def _scene_panels(
    scene: Scene,
    color: NDArray[np.uint8],
    what: str,
    views: Sequence[View] | None,
    width: int,
    aim: NDArray[np.bool_] | None = None,
) -> list[list[Panel]]:
    cloud = DrawnCloud.of(scene)
    rows = []
    size = (2 * width // 3, width)
    for view in spread_views(scene.posed_views, 4) if views is None else views:
        if not view.is_posed:
            continue  # the cloud cannot be drawn from there
        overlay = Overlay(cloud, view, width=width)
        size = _free_size(overlay.size, width)
        rows.append(
            [Panel(overlay.photo, f"Photograph {view.name}"), Panel(overlay.paint(color), f"{what}, projected")]
        )
    one, other = two_sides(scene, size=size, aim=aim)
    rows.append(
        [
            Panel(cloud.from_viewpoint(one).paint(color, BACKGROUND), f"{what}, in 3D"),
            Panel(cloud.from_viewpoint(other).paint(color, BACKGROUND), f"{what}, from another side"),
        ]
    )
    return rows
