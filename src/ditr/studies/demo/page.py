"""Pictures of the demo and its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.capture import read_capture
from ditr.captures.folders import find_captures
from ditr.io.wheel import WHEEL_SHA256
from ditr.pictures.palette import class_colors
from ditr.pictures.panels import Panel, class_legend, difference_legend, save_picture, sheet
from ditr.pictures.pictures import comparison_panels, figure_9, telling_view
from ditr.pictures.report import (
    Bar,
    Block,
    Change,
    Code,
    Facts,
    Legend,
    Pictures,
    Report,
    Row,
    Section,
    Table,
    Text,
    Tile,
    Tiles,
    write_report,
)
from ditr.studies.demo.results import LONGER, PRETRAINED, DemoResults

__all__ = ["write_page"]


def write_page(out: Path, results: DemoResults) -> None:
    """Write ``index.html`` and ``pictures/`` into the demo's folder."""
    captures = find_captures(out / "rooms" / "test")
    sections = [_headline(results), _per_class(results)]
    for number, (title, index) in enumerate(_chosen_rooms(results).items()):
        sections.append(_room(out, captures[index], title, overview=number == 0))
    sections.append(_how(results))
    lead = (
        "Two networks learn to label points in the same procedural rooms, with the same steps and batches: "
        "**PTv3** sees points, **DITR** also the features that a frozen DINOv2 gives to photographs of the room. "
        "All figures are on rooms that neither has seen."
    )
    write_report(
        out / "index.html", Report("DINO in the room", lead, sections, footer=f"Seed {results.settings.seed}.")
    )


def _headline(results: DemoResults) -> Section:
    figures = results.figures
    miou = {name: value["miou"] for name, value in figures.items()}
    tiles = Tiles(
        [
            Tile("DITR", f"{miou['ditr']:.1f}", "mIoU, with image features", strong=True),
            Tile("PTv3", f"{miou['ptv3']:.1f}", "mIoU, points only"),
            Tile("Gain", f"{miou['ditr'] - miou['ptv3']:+.1f}", "mIoU, same rooms and steps"),
        ]
    )
    names = {
        "ptv3": "PTv3",
        "ptv3_long": f"PTv3, {LONGER:g}x the steps",
        "ditr": "DITR",
        "random_weights": "Control: encoder of random weights",
        "swapped_images": "Control: photographs of another room",
    }
    rows = [
        Row(
            text,
            [
                Bar(figures[name]["miou"], better=True if name == "ditr" else None),
                Change(None if name == "ptv3" else miou[name] - miou["ptv3"]),
                figures[name]["visible"]["miou"],
                figures[name]["invisible"]["miou"],
                figures[name]["accuracy"],
            ],
            strong=name == "ditr",
        )
        for name, text in names.items()
        if name in figures
    ]
    share = figures["ditr"]["invisible"]["points"] / figures["ditr"]["points"]
    caption = (
        f"In %, on all {figures['ditr']['points']:,} points of {figures['ditr']['scenes']} unseen rooms. "
        f"{share:.0%} of the points are in no photograph; classes absent among them count as 0."
    )
    table = Table(["", "mIoU", "over PTv3", "visible points", "invisible points", "accuracy"], rows, caption)
    text = Text(
        "If the gain came from more parameters, an encoder of **random weights** would give it too; if from anything "
        "but what the photographs show, the trained DITR would keep it with the **photographs of another room**."
    )
    return Section("The result", [tiles, table, text])


def _per_class(results: DemoResults) -> Section:
    ptv3, ditr = results.figures["ptv3"]["iou"], results.figures["ditr"]["iou"]
    colors = class_colors(len(ptv3))
    rows = [
        Row(
            name,
            [
                Bar(ptv3[name]),
                Bar(ditr[name], better=ditr[name] >= ptv3[name]),
                Change(ditr[name] - ptv3[name]),
                results.figures["random_weights"]["iou"][name],
            ],
            color=(int(color[0]), int(color[1]), int(color[2])),
        )
        for name, color in zip(ptv3, colors, strict=True)
    ]
    table = Table(["IoU by class", "PTv3", "DITR", "difference", "random weights"], rows)
    return Section("Class by class", [table])


def _chosen_rooms(results: DemoResults) -> dict[str, int]:
    """Rooms to show, chosen by the gain in accuracy and not by looks: the median, the largest and the smallest."""
    ptv3 = np.array(results.figures["ptv3"]["room_accuracy"])
    gain = np.array(results.figures["ditr"]["room_accuracy"]) - ptv3
    order = np.argsort(gain, kind="stable")
    chosen = {"the median gain": order[len(order) // 2], "the largest gain": order[-1], "the smallest gain": order[0]}
    return {f"The room with {what} ({gain[i]:+.1f} points of accuracy)": int(i) for what, i in chosen.items()}


def _room(out: Path, capture: Path, title: str, *, overview: bool) -> Section:
    """One room's comparison; with ``overview`` also ``pictures/overview.png``, the six telling panels of it."""
    scene = read_capture(capture)
    labels: dict[str, NDArray[np.int32]] = {
        name: np.load(out / "labels" / name / capture.name / "label.npy", allow_pickle=False)
        for name in ("ptv3", "ditr")
    }
    ptv3, ditr = labels["ptv3"], labels["ditr"]
    view = telling_view(scene, ptv3 != ditr) or scene.views[0]
    save_picture(out / "pictures" / f"{capture.name}.png", figure_9(scene, view, ptv3, ditr))
    panels: list[list[Panel]] = comparison_panels(scene, view, ptv3, ditr, width=640)
    assert scene.label is not None
    used = class_legend(scene.class_names, scene.label, ptv3, ditr)
    if overview:
        photograph, truth, of_ditr, of_ptv3, difference = panels
        rows = [[photograph[0], truth[0], photograph[1]], [of_ptv3[0], of_ditr[0], difference[1]]]
        save_picture(out / "pictures" / "overview.png", sheet(rows, legends=[used, difference_legend()], width=1500))
    blocks: list[Block] = [
        Text(f"`{capture.name}`, in the view that shows most points on which the two differ."),
        Pictures([panel for row in panels for panel in row], columns=2),
        Legend(used),
        Legend(difference_legend()),
    ]
    return Section(title, blocks)


def _how(results: DemoResults) -> Section:
    settings = results.settings
    recipe = settings.recipe(PRETRAINED)
    training = f"{recipe.steps} steps of {recipe.batch_size} rooms, AdamW, one cycle, peak {recipe.optimizer.lr:g}"
    facts = Facts(
        [
            (
                "Rooms",
                f"{settings.train_rooms} to learn from, {settings.test_rooms} unseen, {settings.views} views each",
            ),
            ("Voxels", f"{recipe.preparation.voxel_size:g} m"),
            ("Training", training),
            ("Encoder", results.encoder_weights["pretrained"]),
            ("Encoder of the control", results.encoder_weights["random"]),
            ("Weights file, SHA-256", WHEEL_SHA256),
            ("Seed", str(settings.seed)),
            ("Seconds, rooms", f"{results.rooms_seconds:.0f}"),
            ("Seconds, everything", f"{results.total_seconds:.0f}"),
        ]
    )
    seconds = Code("\n".join(f"{value:7.1f} s  {name}" for name, value in results.seconds.items()))
    text = Text(
        "Rooms are a procedural world: fair to both networks, with typical colours, sizes and relief for each class, "
        "and with textures and furniture in the test rooms that no training room has. They are not ScanNet, and the "
        "figures say nothing about it. Seconds of the jobs below are of one process each; several run side by side."
    )
    return Section("How it was made", [text, facts, Code("ditr demo"), seconds])
