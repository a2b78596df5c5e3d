"""Labels of photographs on points: each photograph votes for the points that it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import exif_orientation
from ditr.captures.photograph_names import find_views
from ditr.data.preparation import profile_rule
from ditr.data.scene_views import shown_in
from ditr.errors import Finding, Grade, InputError, few, nearest
from ditr.geometry.projection import VisibilityRule, values_at
from ditr.labelling.annotations.label_image import NOTHING, Annotations, LabelImage
from ditr.labelling.given import GivenLabels
from ditr.scene import UNLABELLED, Scene, View

__all__ = ["Exif", "label_rule", "lift_labels"]

Exif = Literal["auto", "stored", "upright"]
"""Whether pixels of annotations are those of the photographs as stored, or as their EXIF entries turn them."""
_MARGIN = 0.1
"""Metres by which a point may lie before or behind what a depth map says, where labels are looked up."""
_CHANCE = 0.5
"""Share of the disagreement that views of nothing in common have, from which on labels are called strange."""
_FEW = 0.5
"""Share of the annotated photographs that the scene has, below which that is a warning."""


def label_rule(scene: Scene) -> VisibilityRule:
    """Which points a photograph shows, of those whose labels are lifted.

    As for image features, but at any distance and nearer to the depth maps; and what no depth map tells, a z-buffer of
    the cloud does, unless the scene's reading says otherwise. A label on what is hidden is wrong.
    """
    rule = profile_rule(scene)[1]
    margin = None if rule.depth_margin is None else min(_MARGIN, rule.depth_margin)
    occlusion = scene.reading.occlusion or "z-buffer"
    return replace(rule, min_depth=None, max_depth=None, depth_margin=margin, occlusion=occlusion)


def lift_labels(
    scene: Scene,
    annotations: Annotations,
    where: str,
    *,
    background: str | None = None,
    exif: Exif = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> GivenLabels:
    """Give each point the label that most photographs give it; of as many, what the nearest camera shows.

    Args:
        scene: with views.
        annotations: of photographs, some of which may be others.
        where: what errors call them.
        background: class of pixels that nobody painted; None for no vote.
        exif: what their pixels are, where sizes do not tell.
        progress: told the photographs that are done, and how many there are.

    Raises:
        InputError: no photograph of the scene among them, sizes in another proportion, or what their files and those
            of the scene raise.
    """
    pairs, findings = _pairs(scene, annotations, where)
    classes = annotations.classes
    if background is not None and background not in classes:
        classes = (*classes, background)
    votes = _Votes(len(scene), len(classes))
    rule = label_rule(scene)
    frames = [_Frame.of(view, image, annotations.upright, exif) for view, image in pairs]
    for number, ((view, image), frame) in enumerate(zip(pairs, frames, strict=True)):
        pixels = frame.as_view(image.paint())
        rows, at = shown_in(scene, view, rule)
        found = values_at(pixels, at, view.camera).astype(np.int64)
        if background is not None:
            found[found == NOTHING] = classes.index(background)
        votes.add(rows, found, scene.coord[rows], view)
        if progress is not None:
            progress(number + 1, len(pairs))
    label, confidence = votes.settled()
    figures = {"annotations": annotations.title, "label_images": len(pairs), **votes.figures(label)}
    findings += _said(votes, frames, upright=annotations.upright, label=label)
    return GivenLabels(label, confidence, classes, "label images", tuple(findings), figures, votes.seen)


def _pairs(scene: Scene, annotations: Annotations, where: str) -> tuple[list[tuple[View, LabelImage]], list[Finding]]:
    """The photographs of the scene that are annotated, with that."""
    if not scene.views:
        raise InputError(f"scene {scene.name}", "it has no photographs", "Name the capture with its photographs")
    images = annotations.images
    views = find_views(scene.views, [image.name for image in images], where)
    pairs = [(view, image) for view, image in zip(views, images, strict=True) if view is not None]
    strange = [image.name for view, image in zip(views, images, strict=True) if view is None]
    if not pairs:
        near = nearest(strange[0], [view.name for view in scene.views], cutoff=0.0)
        fault = f"none of its {len(images)} photographs are in the capture: {few(strange, 3)}"
        raise InputError(where, fault, f"Name annotations of photographs such as {near!r}, or the capture of these")
    findings = list(annotations.findings)
    if strange:
        grade = Grade.WARNED if len(strange) > _FEW * len(images) else Grade.NOTED
        text = f"{len(strange)} of {len(images)} annotated photographs are not in the capture: {few(strange, 5)}"
        remedy = "Check that they are annotations of this capture" if grade is Grade.WARNED else ""
        findings.append(Finding(grade, "annotations", text, remedy))
    return pairs, findings


@dataclass(frozen=True)
class _Frame:
    """How the pixels of an annotation lie on those of its view.

    Attributes:
        view: the photograph.
        orientation: of EXIF, which was applied to the annotation and is taken back; 1 for none.
        is_guess: whether nothing but the tool's habit tells it.
        is_scaled: whether the annotation has another size.
    """

    view: View
    orientation: int
    is_guess: bool
    is_scaled: bool

    @classmethod
    def of(cls, view: View, image: LabelImage, upright: bool, exif: Exif) -> _Frame:
        """By their sizes, and by what the tool does where these are not a help.

        Raises:
            InputError: their proportions differ.
        """
        side = (view.camera.width, view.camera.height)
        width, height = side if view.quarter_turns % 2 == 0 else side[::-1]
        stored = (width, height + view.cut_top)
        orientation = 1 if isinstance(view.image, np.ndarray) else exif_orientation(view.image, f"view {view.name}")
        turned = stored[::-1] if orientation >= 5 else stored
        fits, fits_turned = _alike(image.size, stored), _alike(image.size, turned)
        if not fits and not fits_turned:
            fault = f"it has {image.size[0]} x {image.size[1]} pixels, but the photograph {stored[0]} x {stored[1]}"
            remedy = "Label images may be smaller or larger than photographs, with the same aspect ratio"
            raise InputError(image.where, fault, f"{remedy}; or it may belong to another capture")
        both = fits and fits_turned and orientation != 1
        wanted = upright if exif == "auto" else exif == "upright"
        takes_turn = fits_turned and (not fits or wanted) and orientation != 1
        size = turned if takes_turn else stored
        return cls(view, orientation if takes_turn else 1, both and exif == "auto", image.size != size)

    def as_view(self, pixels: NDArray[np.int16]) -> NDArray[np.int16]:
        """The pixels as the view's camera has them."""
        stored = _untransposed(pixels, self.orientation)
        if self.view.cut_top:
            side = self.view.camera.height if self.view.quarter_turns % 2 == 0 else self.view.camera.width
            stored = stored[round(len(stored) * self.view.cut_top / (side + self.view.cut_top)) :]
        return np.rot90(stored, self.view.quarter_turns)


def _alike(one: tuple[int, int], two: tuple[int, int]) -> bool:
    """Whether sizes are with the same aspect ratio, except for rounding."""
    across, down = one[0] / two[0], one[1] / two[1]
    return abs(one[1] - two[1] * across) <= 1 or abs(one[0] - two[0] * down) <= 1


def _untransposed(pixels: NDArray[np.int16], orientation: int) -> NDArray[np.int16]:
    """The pixels before a viewer turned them as EXIF's number says."""
    if orientation in (2, 4):  # mirrored left to right; upside down
        return pixels[:, ::-1] if orientation == 2 else pixels[::-1]
    if orientation in (5, 7):  # mirrored at a diagonal
        return pixels.T if orientation == 5 else pixels[::-1, ::-1].T
    return np.rot90(pixels, {3: 2, 6: 1, 8: 3}.get(orientation, 0))


class _Votes:
    """Of photographs on points.

    Args:
        points: how many there are.
        classes: likewise.
    """

    def __init__(self, points: int, classes: int) -> None:
        from scipy.sparse import csr_matrix

        self._counts: Any = csr_matrix((points, classes), dtype=np.int32)
        self.seen = np.zeros(points, bool)
        self._nearest, self._near_label = np.full(points, np.inf, np.float32), np.full(points, UNLABELLED, np.int32)
        self._ties = self.several = self._disagree = 0
        self._differ = self._chance = 0.0

    def add(self, rows: NDArray[np.int64], label: NDArray[np.int64], coord: NDArray[np.float64], view: View) -> None:
        """A photograph says that points ``rows`` (n,) at ``coord`` (n, 3) have labels (n,); negative ones are none."""
        from scipy.sparse import csr_matrix

        self.seen[rows] = True
        said = label >= 0
        rows, label, coord = rows[said], label[said], coord[said]
        ones = np.ones(len(rows), np.int32)
        self._counts = self._counts + csr_matrix((ones, (rows, label)), shape=self._counts.shape, dtype=np.int32)
        if view.is_posed:
            away = np.linalg.norm(coord - view.center, axis=1).astype(np.float32)
            nearer = away < self._nearest[rows]
            self._nearest[rows[nearer]], self._near_label[rows[nearer]] = away[nearer], label[nearer]

    def settled(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(N,) labels and their shares of the votes."""
        counts = self._counts
        counts.sort_indices()
        label = np.full(len(self.seen), UNLABELLED, np.int32)
        share = np.zeros(len(self.seen), np.float32)
        rows = np.flatnonzero(np.diff(counts.indptr))
        if not len(rows):
            return label, share
        starts = counts.indptr[rows]
        most, total = np.maximum.reduceat(counts.data, starts), np.add.reduceat(counts.data, starts)
        length = np.diff(counts.indptr)[rows]
        is_most = counts.data == most.repeat(length)
        tied = np.add.reduceat(is_most, starts, dtype=np.int64) > 1
        first = np.flatnonzero(is_most)
        first = first[np.searchsorted(first, starts)]
        label[rows] = counts.indices[first]
        near = self._near_label[rows[tied]]
        column = np.asarray(counts[rows[tied], np.maximum(near, 0)]).ravel()
        kept = (near >= 0) & (column == most[tied])
        label[rows[tied][kept]] = near[kept]
        share[rows] = most / total
        self._ties, self.several = int(tied.sum()), int((total > 1).sum())
        self._disagree = int((length > 1).sum())
        # How often two votes for a point differ, and how often two for any points do.
        alike = np.add.reduceat(counts.data * (counts.data - 1.0), starts)[total > 1]
        pairs = total[total > 1] * (total[total > 1] - 1.0)
        self._differ = float(1 - (alike / pairs).mean()) if len(pairs) else 0.0
        spread = np.bincount(counts.indices, counts.data, counts.shape[1]) / total.sum()
        self._chance = float(1 - np.square(spread).sum())
        return label, share

    def figures(self, label: NDArray[np.int32]) -> dict[str, Any]:
        """What there is, after :meth:`settled`."""
        return {
            "seen": int(self.seen.sum()),
            "labelled": int((label >= 0).sum()),
            "by_several_views": self.several,
            "disagree": self._disagree,
            "ties": self._ties,
        }

    @property
    def is_strange(self) -> bool:
        """Whether photographs agree little more than if each were of something else."""
        return self._differ > _CHANCE * self._chance

    def said(self) -> str:
        """How far photographs agree, in a sentence."""
        share = self._disagree / max(1, self.several)
        tied = f", {self._ties} points had equal votes for two classes" if self._ties else ""
        return (
            f"{share:.1%} of the {self.several} points seen by several label images get different labels from "
            f"them{tied}"
        )


def _said(votes: _Votes, frames: Sequence[_Frame], *, upright: bool, label: NDArray[np.int32]) -> list[Finding]:
    """What people should know of the votes and of how images were laid over each other."""
    found = []
    if strange := votes.is_strange:
        remedy = "Check that they belong to this capture, and that its poses are right (`ditr check`)"
        found.append(Finding(Grade.WARNED, "annotations", f"{votes.said()}, almost as many as by chance", remedy))
    if not strange and votes.several:
        found.append(Finding(Grade.NOTED, "annotations", votes.said()))
    if guessed := [frame.view.name for frame in frames if frame.is_guess]:
        taken = "as EXIF turns the photographs" if upright else "as the photographs are stored"
        text = f"{few(guessed, 3)}: nothing shows how the pixels are oriented; they are read {taken}"
        found.append(Finding(Grade.WARNED, "exif", text, "Give --exif stored or --exif upright"))
    if scaled := [frame.view.name for frame in frames if frame.is_scaled]:
        text = f"{len(scaled)} label images differ in size from their photographs and are scaled: {few(scaled, 3)}"
        found.append(Finding(Grade.NOTED, "annotations", text))
    if not (label >= 0).any():
        text = "no point has a label, since the painted pixels show no points"
        found.append(Finding(Grade.WARNED, "annotations", text, "Check the poses with `ditr check`"))
    return found
