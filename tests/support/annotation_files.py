"""One image of labels in the files of every annotation tool that is read, not by the code that reads."""

from __future__ import annotations

import json
import zipfile
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLORS = ((200, 30, 30), (30, 200, 30), (30, 30, 200))
Labels = dict[str, NDArray[np.int16]]
"""By the names of photographs: (height, width), -1 for none."""


def runs(mask: NDArray[np.bool_]) -> list[int]:
    """Lengths of runs, beside the mask first."""
    found = [(bool(key), len(list(group))) for key, group in groupby(mask.ravel().tolist())]
    return [count for _, count in ([(False, 0), *found] if found[0][0] else found)]


def class_table(names: tuple[str, ...]) -> dict[str, Any]:
    entries = [{"id": i, "name": name, "color": list(COLORS[i])} for i, name in enumerate(names)]
    return {"classes": entries, "unlabelled": {"id": -1, "name": "unlabelled", "color": [9, 9, 9], "image_id": 255}}


def write_pngs(folder: Path, labels: Labels, names: tuple[str, ...], mode: str = "P") -> Path:
    """Of mode P, L, I;16, RGB or RGBA, with ``classes.json``."""
    folder.mkdir(parents=True)
    (folder / "classes.json").write_text(json.dumps(class_table(names)), encoding="utf-8")
    palette = np.full((256, 3), 9, np.uint8)
    palette[: len(COLORS)] = COLORS
    for name, label in labels.items():
        index = np.where(label < 0, 65535 if mode == "I;16" else 255, label)
        if mode == "I;16":
            image = Image.fromarray(index.astype(np.uint16))
        elif mode in ("RGB", "RGBA"):
            image = Image.fromarray(palette[index]).convert(mode)
        else:
            image = Image.fromarray(index.astype(np.uint8))
            if mode == "P":
                image.putpalette(palette.tobytes())
        image.save(folder / f"{name}.png")
    return folder


def write_cvat_masks(path: Path, labels: Labels, names: tuple[str, ...]) -> Path:
    """The zip of "Segmentation mask 1.1"."""
    folder = write_pngs(path.parent / f"{path.stem}-masks", labels, names, "RGB")
    rows = ["# label:color_rgb:parts:actions", "background:9,9,9::"]
    rows += [f"{name}:{','.join(map(str, COLORS[i]))}::" for i, name in enumerate(names)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labelmap.txt", "\n".join(rows))
        for name in labels:
            archive.write(folder / f"{name}.png", f"SegmentationClass/{name}.png")
            archive.writestr(f"SegmentationObject/{name}.png", b"not looked at")
    return path


def write_cvat_xml(path: Path, labels: Labels, names: tuple[str, ...]) -> Path:
    """A mask for each class."""
    lines = ["<?xml version='1.0' encoding='utf-8'?><annotations><version>1.1</version><meta><task><labels>"]
    lines += [f"<label><name>{name}</name><color>#123456</color></label>" for name in names]
    lines.append("</labels></task></meta>")
    for number, (photo, label) in enumerate(labels.items()):
        height, width = label.shape
        lines.append(f'<image id="{number}" name="images/{photo}.png" width="{width}" height="{height}">')
        for index, name in enumerate(names):
            rle = ", ".join(map(str, runs(label == index)))
            place = f'left="0" top="0" width="{width}" height="{height}"'
            lines.append(f'<mask label="{name}" source="manual" rle="{rle}" {place} z_order="0"></mask>')
        lines.append("</image>")
    path.write_text("\n".join([*lines, "</annotations>"]), encoding="utf-8")
    return path


def write_coco(path: Path, labels: Labels, names: tuple[str, ...]) -> Path:
    """A mask for each class, and ids of categories with gaps."""
    images, annotations = [], []
    for number, (photo, label) in enumerate(labels.items()):
        height, width = label.shape
        images.append({"id": 7 * number, "file_name": f"{photo}.png", "width": width, "height": height})
        for index in range(len(names)):
            counts = {"size": [height, width], "counts": runs((label == index).T)}
            entry = {"image_id": 7 * number, "category_id": 10 * index + 3, "iscrowd": 1, "segmentation": counts}
            annotations.append({"id": len(annotations), "area": int((label == index).sum()), **entry})
    categories = [{"id": 10 * index + 3, "name": name} for index, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def brush(mask: NDArray[np.bool_]) -> list[int]:
    """Label Studio's runs: each value by itself, or a row of the same."""
    bits = f"{4 * mask.size:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    values = np.repeat(mask.ravel(), 4) * 255
    for value, group in groupby(values.tolist()):
        left = len(list(group))
        while left:
            count = min(left, 1 << 16)
            if count <= 8:
                bits += f"000{count - 1:03b}" + f"{value:08b}" * count
            else:
                bits += f"111{count - 1:016b}{value:08b}"
            left -= count
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def write_label_studio(path: Path, labels: Labels, names: tuple[str, ...]) -> Path:
    """A brush for each class."""
    tasks = []
    for number, (photo, label) in enumerate(labels.items()):
        height, width = label.shape
        size = {"original_width": width, "original_height": height, "image_rotation": 0}
        results = [
            {"type": "brushlabels", **size, "value": {"format": "rle", "rle": brush(mask), "brushlabels": [name]}}
            for index, name in enumerate(names)
            if (mask := label == index).any()
        ]
        address = f"/data/upload/1/0123abcd-{photo}.png"
        tasks.append({"id": number, "data": {"image": address}, "annotations": [{"result": results}]})
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def write_all(folder: Path, labels: Labels, names: tuple[str, ...]) -> dict[str, Path]:
    """All formats, by a short name."""
    found = {f"png {mode}": write_pngs(folder / f"png_{mode.replace(';', '')}", labels, names, mode)
             for mode in ("P", "L", "I;16", "RGB", "RGBA")}  # fmt: skip
    found["cvat masks"] = write_cvat_masks(folder / "masks.zip", labels, names)
    found["cvat xml"] = write_cvat_xml(folder / "annotations.xml", labels, names)
    found["coco"] = write_coco(folder / "instances.json", labels, names)
    found["label studio"] = write_label_studio(folder / "project.json", labels, names)
    with zipfile.ZipFile(folder / "cvat.zip", "w") as archive:
        archive.write(folder / "annotations.xml", "annotations.xml")
    return found | {"cvat zip": folder / "cvat.zip"}
