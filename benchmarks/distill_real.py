"""D-DITR on real captures: what a small network learns of its teacher's features, on views and scans held out.

    python benchmarks/distill_real.py CAPTURES OUT [--only NAME] [--steps N]

CAPTURES has 7-Scenes RedKitchen, three samples of one DDAD-like drive and one of another, and a nuScenes keyframe, as
docs/studies/real-captures.md tells. One student each, of points alone:

* kitchen: trained on four of five views, tried on every fifth. The loss never sees these photographs, but their points
  are in the scan, and other views show most of them: this asks for another side of a known room, not for another room.
* drive: trained on two scans, tried on the next of the same street, and on a scan of another drive.
* keyframe: trained on one scan, nothing held out: this only shows what can be learnt by heart.

Beside the cosine similarities of the student stand those of the best constant (the mean of the teacher's features of
training, each of unit length), of the student before training, and, in the kitchen, of the teacher itself from
another view. All features have much in common, so cosines are high for whoever knows that; so the cosines of what is
left without the direction of the constant are given too. Writes OUT/NAME.json and sheets of teacher beside student.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from ditr.captures.capture import read_capture
from ditr.data.preparation import Attribute
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.geometry.orientation import estimate_up, rotation_to_z
from ditr.geometry.projection import INDOOR
from ditr.inference.lifting import LiftedFeatures, lift_features
from ditr.inference.student_features import StudentFeatures, cosine_to, student_features
from ditr.io.files import atomic_path
from ditr.io.ply import read_ply, write_ply
from ditr.pictures.panels import Panel, sheet
from ditr.pictures.pictures import BACKGROUND
from ditr.pictures.render import DrawnCloud
from ditr.pictures.viewpoint import two_sides
from ditr.recipes.captures import SMALL_NETWORK, small
from ditr.scene import Scene
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import Augmentation, DistillTask, OptimizerSettings, Recipe
from ditr.training.run_log import read_rows
from ditr.weights.pretrained import from_pretrained
from ditr.weights.saved_model import Model, ModelConfig

TEACHER = "dinov2-small-derived"
HELD_OUT_EVERY = 5
UP = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Trial:
    """What one student learns from, and what it is tried on: scenes by what they are called in the results."""

    recipe: Recipe
    captures: list[Path]
    tried_on: dict[str, Scene]
    same_points: bool = False


def make_recipe(profile: str, voxel_size: float, strength_scale: float, crop: int | None, steps: int) -> Recipe:
    """The small network, which learns features; every scan is turned about z again, and a batch has two."""
    recipe = small(profile)
    preparation = replace(recipe.preparation, voxel_size=voxel_size, strength_scale=strength_scale)
    if profile == "indoor":
        preparation = replace(preparation, rule=INDOOR, attributes=(Attribute.COLOR, Attribute.NORMAL))
    return replace(
        recipe,
        network=replace(SMALL_NETWORK, drop_path=0.1),
        preparation=preparation,
        encoder=TEACHER,
        augmentation=Augmentation("light", crop=crop),
        optimizer=OptimizerSettings(lr=4e-3, block_lr=4e-3, warmup=0.1, clip=1.0),
        task=DistillTask(),
        steps=steps,
        batch_size=2,
    )


def upright(capture: Path, out: Path, *, keep: slice | None, leave: slice | None = None) -> Path:
    """A copy of a capture, turned so that up is z (training turns scans about z), with some of its views.

    Photographs are linked to. Give ``keep``, or ``leave`` for the views that the copy shall not have.
    """
    out.mkdir(parents=True, exist_ok=True)
    turn = np.eye(4)
    turn[:3, :3] = rotation_to_z(estimate_up(read_capture(capture)))
    content = json.loads((capture / "transforms.json").read_text())
    frames = content["frames"]
    chosen = frames[keep] if keep is not None else [f for f in frames if f not in frames[leave or slice(0)]]
    for frame in chosen:
        frame["transform_matrix"] = (turn @ np.array(frame["transform_matrix"])).tolist()
    points = dict(read_ply(capture / content["ply_file_path"]))
    for names in (("x", "y", "z"), ("nx", "ny", "nz")):
        turned = np.stack([points[name] for name in names], axis=1).astype(np.float64) @ turn[:3, :3].T
        points |= {name: turned[:, i].astype(np.float32) for i, name in enumerate(names)}
    write_ply(out / "points.ply", points)
    for folder in ("images", "depth"):
        if not (out / folder).exists():
            (out / folder).symlink_to((capture / folder).resolve())
    with atomic_path(out / "transforms.json") as path:
        path.write_text(json.dumps({**content, "ply_file_path": "points.ply", "frames": chosen}))
    return out


def trials(captures: Path, out: Path, name: str, steps: int) -> Trial:
    """The three experiments."""
    if name == "kitchen":
        held = slice(0, None, HELD_OUT_EVERY)
        known = upright(captures / "sevenscenes_redkitchen", out / "kitchen_train", keep=None, leave=held)
        new = upright(captures / "sevenscenes_redkitchen", out / "kitchen_held_out", keep=held)
        scenes = {"training views": read_capture(known), "views held out": read_capture(new)}
        return Trial(make_recipe("indoor", 0.1, 1.0, 3_000, steps), [known] * 2, scenes, same_points=True)
    if name == "drive":
        first, second = captures / "ddad_scene_b_0", captures / "ddad_scene_b_1"
        scenes = {
            "training scan 1": read_capture(first),
            "training scan 2": read_capture(second),
            "next scan, held out": read_capture(captures / "ddad_scene_b_2"),
            "other drive, held out": read_capture(captures / "ddad_scene_a_0"),
        }
        return Trial(make_recipe("outdoor", 0.5, 1.0, 4_000, steps), [first, second], scenes)
    keyframe = captures / "nuscenes_sample"
    scenes = {"training scan": read_capture(keyframe)}
    return Trial(make_recipe("outdoor", 0.5, 255.0, 4_000, steps), [keyframe] * 2, scenes)


def learn(trial: Trial, folder: Path, encoding: CachedEncoding) -> dict[str, Any]:
    """Train, try, draw; returns what was found."""
    for path in dict.fromkeys(trial.captures):
        encoding.encode(read_capture(path).views)
    run = TrainingRun(folder, trial.captures, encoding=encoding, device="cpu", quiet=True, checkpoint_every=10_000)
    train(trial.recipe, run)
    seconds = read_rows(folder / "log.jsonl")[-1]["seconds"]
    config, model = from_pretrained(folder)
    torch.manual_seed(trial.recipe.seed)
    fresh = config.build().eval()
    lifted = {
        what: lift_features(scene, encoding, trial.recipe.preparation.rule) for what, scene in trial.tried_on.items()
    }
    constant = best_constant([teacher for what, teacher in lifted.items() if what.startswith("training")])
    found = {}
    for what, teacher in lifted.items():
        found[what] = figures(config, model, fresh, constant, teacher)
        if trial.same_points and what != next(iter(lifted)):
            other = lifted[next(iter(lifted))]
            index = other.lift.patch_index[:, 0]
            found[what]["teacher, from a training view"] = float(np.nanmean(cosine_to(teacher, other.tokens, index)))
            found[what]["the same, about the mean"] = about(constant, teacher, other.tokens, index)
        compared = student_features(config, model, teacher, up=UP)
        if what == "next scan, held out":
            small_picture(compared, folder / "distillation.jpg")
        compared.draw(folder / f"{what.replace(' ', '_').replace(',', '')}.png")
        compared.save(folder / what.replace(" ", "_").replace(",", ""))
    return {
        "teacher": encoding.encoder.weights,
        "parameters": sum(p.numel() for p in model.parameters()),
        "voxel_size": trial.recipe.preparation.voxel_size,
        "steps": trial.recipe.steps,
        "batch_size": trial.recipe.batch_size,
        "training_seconds": round(seconds, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} thread(s)",
        "cosine": found,
    }


def figures(
    config: ModelConfig, model: Model, fresh: Model, constant: torch.Tensor, teacher: LiftedFeatures
) -> dict[str, Any]:
    """Mean cosine similarities to the teacher over the points that some view shows."""
    rows = torch.zeros(len(teacher.scene), dtype=torch.int64)
    student = student_features(config, model, teacher, up=UP)
    return {
        "student": student.mean_cosine(),
        "student, about the mean": about(constant, teacher, student.prediction, student.voxel),
        "constant": float(np.nanmean(cosine_to(teacher, constant[None], rows))),
        "untrained": student_features(config, fresh, teacher, up=UP).mean_cosine(),
        "points": int((teacher.seen_by > 0).sum()),
    }


def best_constant(lifted: list[LiftedFeatures]) -> torch.Tensor:
    """(D,) of all constants the one with the highest mean cosine: the mean of the points' features of unit length."""
    total = torch.zeros(lifted[0].tokens.shape[1], dtype=torch.float64)
    for teacher in lifted:
        index = teacher.lift.patch_index[:, 0]
        count = torch.bincount(index[index >= 0], minlength=len(teacher.tokens)).double()
        total += count @ functional.normalize(teacher.tokens, dim=1).double()
    return functional.normalize(total, dim=0).float()


def about(constant: torch.Tensor, teacher: LiftedFeatures, prediction: torch.Tensor, row: torch.Tensor) -> float:
    """Mean cosine of what is left of both when the constant is taken off: what they say beyond it; 0 by chance."""

    def centered(features: torch.Tensor) -> torch.Tensor:
        unit = functional.normalize(features, dim=1)
        return unit - (unit @ constant)[:, None] * constant

    left = replace(teacher, tokens=centered(teacher.tokens))
    return float(np.nanmean(cosine_to(left, centered(prediction), row)))


def small_picture(compared: StudentFeatures, path: Path) -> None:
    """Teacher and student in 3D alone, as a JPEG of at most 200 kB: no photograph is in it."""
    cloud = DrawnCloud.of(compared.scene)
    viewpoint = two_sides(compared.scene, up=np.array(UP), size=(420, 780))[0]
    names = ("Teacher, from the photographs", "Student, from the points alone")
    raster = cloud.from_viewpoint(viewpoint)
    row = [Panel(raster.paint(color, BACKGROUND), name) for color, name in zip(compared.colors(), names, strict=True)]
    image = Image.fromarray(sheet([row], width=1400))
    quality = 90
    while True:
        with atomic_path(path) as part:
            image.save(part, "JPEG", quality=quality)
        if path.stat().st_size <= 200_000 or quality <= 20:
            return
        quality -= 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("captures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=("kitchen", "drive", "keyframe"))
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    encoding = CachedEncoding(TEACHER, FeatureCache(args.out / "features"))
    for name in (args.only,) if args.only else ("kitchen", "drive", "keyframe"):
        found = learn(trials(args.captures, args.out, name, args.steps), args.out / name, encoding)
        with atomic_path(args.out / f"{name}.json") as path:
            path.write_text(json.dumps(found, indent=2) + "\n")
        print(name, json.dumps(found, indent=2), flush=True)


if __name__ == "__main__":
    main()
