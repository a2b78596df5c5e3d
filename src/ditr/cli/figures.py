"""Figures of labels on a terminal: short, since all of them are in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ditr.errors import few

__all__ = ["say_apart", "say_classes", "say_split"]


def say_classes(figures: Mapping[str, Any]) -> None:
    """A line for each class; a dash for one that no point has, as in reports."""
    print(f"  {'':28} {'IoU':>6} {'acc.':>6}")
    for name, iou in figures["iou"].items():
        if figures["class_points"][name]:
            print(f"  {name:28} {iou:6.1f} {figures['class_accuracy'][name]:6.1f}")
        else:
            print(f"  {name:28} {'–':>6} {'–':>6}")


def say_apart(figures: Mapping[str, Any]) -> None:
    """Accuracies, and what was counted apart."""
    means = f"{figures['macc']:.1f} over all classes, {figures['macc_present']:.1f} over those that occur"
    print(f"accuracy {figures['accuracy']:.1f} over all points; mean accuracy per class {means}")
    if "visible" in figures:
        visible, invisible = figures["visible"], figures["invisible"]
        print(
            f"mIoU of visible points {visible['miou']:.1f} over all classes, {visible['miou_present']:.1f} over those "
            f"that occur; of invisible points {invisible['miou']:.1f} and {invisible['miou_present']:.1f}"
        )
    if "by_distance" in figures:
        bins = (f"{name} {one['miou_present']:.1f}" for name, one in figures["by_distance"].items() if one["points"])
        print(f"mIoU by distance from the sensor: {', '.join(bins)} (over the classes that occur at that distance)")


def say_split(figures: Mapping[str, Any], benchmark: str) -> None:
    """The figures of a split of a benchmark."""
    say_classes(figures)
    occurring = sum(1 for points in figures["class_points"].values() if points)
    print(
        f"mIoU {figures['miou']:.1f} over all {len(figures['iou'])} classes, as the paper counts; "
        f"{figures['miou_present']:.1f} over the {occurring} that occur; {figures['points']} points counted"
    )
    if (own := figures.get("benchmark")) is not None:
        print(
            f"mIoU {own['miou']:.1f} as {benchmark} counts: a class that no point has or is given {own['absent_class']}"
        )
        if own["groups"]:
            print(", ".join(f"{name} {miou:.1f}" for name, miou in own["groups"].items()))
        if unseen := own["without_validation_points"]:
            print(f"the validation split has no point of {len(unseen)} classes: {few(unseen, 12)}")
    say_apart(figures)
