"""Faults put into sound captures: which are refused, warned of, noted, harmless, or silent?

    python benchmarks/injected_faults.py CAPTURE... > benchmarks/injected_faults.md

Every fault is written into a copy of each capture's files, which is then read and judged as `ditr check` does.
*Harmless*: what the points see and carry is as before. *Silent* is allowed only where the file holds no evidence; the
last column says which would do.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from ditr.captures.capture import read_capture
from ditr.data.preparation import profile_rule
from ditr.data.scene_views import points_in
from ditr.errors import Grade, InputError
from ditr.geometry.orientation import find_up
from ditr.io.ply import read_ply, write_ply
from ditr.plausibility.judge import judge
from ditr.scene import Scene

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass
class Files:
    """A capture's files, to be changed."""

    folder: Path

    def __post_init__(self) -> None:
        self.json: dict[str, Any] = json.loads((self.folder / "transforms.json").read_text())
        self.ply = dict(read_ply(self.cloud))

    @property
    def cloud(self) -> Path:
        return self.folder / self.json["ply_file_path"]

    def write(self) -> None:
        (self.folder / "transforms.json").write_text(json.dumps(self.json))
        write_ply(self.cloud, self.ply)

    def poses(self, change: Callable[[int, np.ndarray], np.ndarray]) -> None:
        for number, frame in enumerate(self.json["frames"]):
            frame["transform_matrix"] = change(number, np.array(frame["transform_matrix"])).tolist()

    def points(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        coord = change(np.stack([self.ply[axis].astype(np.float64) for axis in "xyz"], axis=1))
        self.ply |= {axis: coord[:, i] for i, axis in enumerate("xyz")}

    def intrinsics(self, factor: float, *keys: str) -> None:
        for entry in (self.json, *self.json["frames"]):
            for key in keys:
                if entry.get(key) is not None:
                    entry[key] = entry[key] * factor

    def image(self, number: int = 0) -> Path:
        return self.folder / self.json["frames"][number]["file_path"]


def turn(degrees: float, axis: int = 1) -> np.ndarray:
    """(4, 4) about one axis."""
    angle, (i, j) = np.deg2rad(degrees), [k for k in range(3) if k != axis]
    matrix = np.eye(4)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


def scaled(pose: np.ndarray, factor: float) -> np.ndarray:
    pose = pose.copy()
    pose[:3, 3] *= factor
    return pose


def all_scaled(factor: float) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files.points(lambda coord: coord * factor)
        files.poses(lambda _, pose: scaled(pose, factor))

    return change


def set_columns(files: Files, names: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for name in names.split():
        if name in files.ply:
            files.ply[name] = change(files.ply[name])


def nan_at_three(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    values[[0, len(values) // 2, -1]] = np.nan
    return values


def depth_unit(files: Files, factor: float) -> None:
    if any("depth_file_path" in frame for frame in files.json["frames"]):
        files.json["depth_unit_scale_factor"] = files.json.get("depth_unit_scale_factor", 0.001) * factor


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def shuffled_images(files: Files) -> None:
    paths = [frame["file_path"] for frame in files.json["frames"]]
    for frame, path in zip(files.json["frames"], paths[1:] + paths[:1], strict=True):
        frame["file_path"] = path


def frame_to_y_up(files: Files) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    files.points(lambda coord: coord @ matrix[:3, :3].T)
    files.poses(lambda _, pose: matrix @ pose)
    if "nx" in files.ply:
        normal = np.stack([files.ply[n] for n in ("nx", "ny", "nz")], axis=1) @ matrix[:3, :3].T
        files.ply |= {n: normal[:, i].astype(np.float32) for i, n in enumerate(("nx", "ny", "nz"))}


def all_moved(files: Files) -> None:
    shift = np.array([500_000.0, 5_000_000.0, 100.0])
    files.points(lambda coord: coord + shift)
    files.poses(lambda _, pose: pose + np.pad(shift[:, None], ((0, 1), (3, 0))))


def renamed(files: Files, names: dict[str, str]) -> None:
    files.ply = {names.get(name, name): values for name, values in files.ply.items()}


# What is done, and the evidence that a file without any would need for the fault to be told.
FAULTS: dict[str, tuple[Callable[[Files], Any], str]] = {
    "poses with OpenCV axes": (lambda f: f.poses(lambda _, p: p @ FLIP), "depth maps, colours, or level cameras"),
    "poses world to camera": (lambda f: f.poses(lambda _, p: FLIP @ np.linalg.inv(p)), "depth maps or colours"),
    "poses world to camera, OpenGL": (lambda f: f.poses(lambda _, p: np.linalg.inv(p)), "depth maps or colours"),
    "cloud with y and z swapped": (lambda f: f.points(lambda c: c[:, [0, 2, 1]]), "depth maps or colours"),
    "cloud y-up, poses z-up": (lambda f: f.points(lambda c: c[:, [0, 2, 1]] * (1, 1, -1)), "depth maps or colours"),
    "positions of cameras doubled": (lambda f: f.poses(lambda _, p: scaled(p, 2.0)), "depth maps or colours"),
    "positions of cameras in mm": (lambda f: f.poses(lambda _, p: scaled(p, 1000.0)), "none"),
    "one camera turned by 40 degrees": (
        lambda f: f.poses(lambda i, p: p @ turn(40) if i == 0 else p),
        "depth maps or colours",
    ),
    "all cameras turned by 5 degrees": (lambda f: f.poses(lambda _, p: p @ turn(5)), "sharp depth maps or colours"),
    "all cameras turned by 40 degrees": (lambda f: f.poses(lambda _, p: p @ turn(40)), "depth maps or colours"),
    "a pose of infinities": (lambda f: f.poses(lambda i, p: np.full((4, 4), -np.inf) if i == 0 else p), "none"),
    "a pose that mirrors": (lambda f: f.poses(lambda i, p: p @ np.diag([-1, 1, 1, 1]) if i == 0 else p), "none"),
    "images of the next view": (shuffled_images, "colours, depth maps, or points dense enough to show borders"),
    "focal length of a half-size image": (lambda f: f.intrinsics(0.5, "fl_x", "fl_y"), "depth maps or colours"),
    "all intrinsics of a half-size image": (lambda f: f.intrinsics(0.5, "fl_x", "fl_y", "cx", "cy"), "none"),
    "all in millimetres": (all_scaled(1000.0), "none"),
    "all in centimetres": (all_scaled(100.0), "depth maps, camera heights or spacing"),
    "all in feet": (all_scaled(1 / 0.3048), "something of known size"),
    "depth maps a thousand times too deep": (lambda f: depth_unit(f, 1000.0), "depth maps"),
    "depth maps ten times too shallow": (lambda f: depth_unit(f, 0.1), "depth maps"),
    "three normals NaN": (lambda f: set_columns(f, "nx", nan_at_three), "normals"),
    "all normals zero": (lambda f: set_columns(f, "nx ny nz", np.zeros_like), "normals"),
    "normals ten times too long": (lambda f: set_columns(f, "nx ny nz", lambda v: v * 10), "normals"),
    "three intensities NaN": (lambda f: set_columns(f, "intensity", nan_at_three), "intensities"),
    "colours of 16 bits": (lambda f: set_columns(f, "red green blue", lambda v: v.astype(np.uint16) * 257), "colours"),
    "colours float 0..1": (lambda f: set_columns(f, "red green blue", lambda v: v.astype(np.float32) / 255), "colours"),
    "red and blue exchanged": (
        lambda f: renamed(f, {"red": "blue", "blue": "red"}),
        "colours (they agree a little less with the pixels)",
    ),
    "columns called r g b": (lambda f: renamed(f, {"red": "r", "green": "g", "blue": "b"}), "colours"),
    "three points NaN": (lambda f: set_columns(f, "x", nan_at_three), "none"),
    "an image cut in half": (lambda f: truncated(f.image()), "none"),
    "an image missing": (lambda f: f.image().unlink(), "none"),
    "all in a frame with y up": (frame_to_y_up, "none"),
    "coordinates far from the origin": (all_moved, "none"),
}


def state(scene: Scene) -> dict[str, np.ndarray]:
    """What points see and carry, in a frame that does not depend on the file's: up is taken out."""
    rule = profile_rule(scene)[1]
    seen = np.stack([points_in(scene, view, rule)[1] for view in scene.views], axis=1)
    up = find_up(scene)
    images = [float(crc32(Path(view.image).name.encode())) for view in scene.views if isinstance(view.image, Path)]
    found = {
        "seen": seen.astype(np.float64),
        "images": np.array(images),
        "height": (scene.coord - scene.coord.mean(axis=0)) @ up,
    }
    if scene.normal is not None:
        found["normal"] = scene.normal @ up
    if scene.color is not None:
        found["color"] = scene.color.astype(np.float64)
    if scene.strength is not None:
        found["strength"] = scene.strength.astype(np.float64)
    return found


def same(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> bool:
    """Whether less than one point in a hundred sees or carries something else."""
    if before.keys() != after.keys():
        return False
    for name, values in before.items():
        tolerance = {"color": 2.0, "images": 0.5}.get(name) or 0.02 * max(1.0, float(np.abs(values).max()))
        if values.shape != after[name].shape:
            return False
        off = np.abs(values - after[name]) > tolerance
        if not (off.reshape(len(off), -1).any(axis=1).mean() < 0.01):
            return False
    return True


def outcome(folder: Path, before: dict[str, np.ndarray], known: set[str]) -> tuple[str, str]:
    """The kind of outcome, and what was said that is not ``known`` of the sound capture."""
    try:
        scene = read_capture(folder)
        judgement = judge(scene, profile_rule(scene)[1])
        judgement.require()
        after = state(scene)
    except InputError as error:
        return "refused", str(error)
    new = [finding for finding in judgement.findings if str(finding) not in known]
    warned = [str(finding) for finding in new if finding.grade is Grade.WARNED]
    if warned:
        return "warned", warned[0]
    if same(before, after):
        return "harmless", ""
    return ("noted", str(new[0])) if new else ("silent", "")


def main(captures: list[Path]) -> None:
    """Print the table."""
    kinds = ("refused", "warned", "noted", "harmless", "silent", "not there")
    print(
        f"| fault | {' | '.join(kinds)} | silent in | evidence that would tell it |\n|---|{'---|' * (len(kinds) + 2)}"
    )
    sums = dict.fromkeys(kinds, 0)
    sound = 0
    states, known = {}, {}
    for capture in captures:
        scene = read_capture(capture)
        states[capture] = state(scene)
        findings = judge(scene, profile_rule(scene)[1]).findings
        known[capture] = {str(finding) for finding in findings}
        sound += all(finding.grade is Grade.NOTED for finding in findings)
    for fault, (put, evidence) in FAULTS.items():
        counts, silent = dict.fromkeys(kinds, 0), []
        for capture in captures:
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place) / capture.name
                shutil.copytree(capture, folder)
                files = Files(folder)
                was = json.dumps(files.json), {name: values.tobytes() for name, values in files.ply.items()}
                images = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
                put(files)
                there = was != (json.dumps(files.json), {n: v.tobytes() for n, v in files.ply.items()})
                there |= any(not path.exists() or path.stat().st_size != size for path, size in images.items())
                files.write()
                kind, said = outcome(folder, states[capture], known[capture]) if there else ("not there", "")
            counts[kind] += 1
            if kind == "silent":
                silent.append(capture.name)
            print(f"{fault} | {capture.name} | {kind} | {said[:160]}", file=sys.stderr, flush=True)
        sums = {kind: sums[kind] + counts[kind] for kind in kinds}
        numbers = " | ".join(str(counts[kind] or "") for kind in kinds)
        print(f"| {fault} | {numbers} | {', '.join(silent)} | {evidence} |", flush=True)
    print(f"| **all** | {' | '.join(str(sums[kind]) for kind in kinds)} | | |")
    print(f"\nSound captures without a warning: {sound} of {len(captures)}.")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
