"""How many images a second an image encoder takes in, and how far its features depend on the batch.

    python benchmarks/image_encoder.py                                  # CPU, 1 thread and all of them
    python benchmarks/image_encoder.py --device cuda --spec random:dinov2-large-reg --size 420 560

Untrained weights of the same shape run at the same speed as trained ones, so nothing needs to be downloaded.
"""

from __future__ import annotations

import argparse
import os
import time

import torch

from ditr.doctor.machine import describe_devices
from ditr.encoders.dinov2 import Architecture
from ditr.encoders.image_encoder import ImageEncoder
from ditr.encoders.weights import load_weights


def operations(architecture: Architecture, tokens: int) -> float:
    """Multiplications and additions of one image, without norms and activations."""
    width, hidden = architecture.width, architecture.hidden * (3 if architecture.gated_mlp else 2)
    per_layer = 2 * tokens * width * (4 * width + hidden) + 4 * tokens**2 * width
    patches = tokens - 1 - architecture.registers
    return architecture.depth * per_layer + 2 * patches * width * 3 * architecture.patch_size**2


def seconds(encoder: ImageEncoder, images: torch.Tensor, duration: float) -> float:
    """Shortest time of one call among those of ``duration`` seconds: others use the machine too."""

    def wait() -> None:
        if encoder.device.type == "cuda":
            torch.cuda.synchronize()

    encoder(images)
    best, end = float("inf"), time.perf_counter() + duration
    while time.perf_counter() < end:
        wait()
        start = time.perf_counter()
        encoder(images)
        wait()
        best = min(best, time.perf_counter() - start)
    return best


def dependence(encoder: ImageEncoder, images: torch.Tensor) -> float:
    """Largest difference between images encoded together and alone, over the root mean square."""
    together = encoder(images).patch.double()
    alone = torch.cat([encoder(image[None]).patch for image in images]).double()
    return float((together - alone).abs().max() / together.square().mean().sqrt())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spec", default="random:dinov2-small")
    parser.add_argument("--size", type=int, nargs=2, default=(224, 308), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", type=int, nargs="+", default=(1, 8))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", nargs="+", default=["float32"], choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--duration", type=float, default=5.0, help="seconds per line")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    height, width = arguments.size
    weights = load_weights(arguments.spec)
    patches = (height // weights.architecture.patch_size) * (width // weights.architecture.patch_size)
    work = operations(weights.architecture, 1 + weights.architecture.registers + patches)
    processor = describe_devices()[0].title
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{processor}, {os.cpu_count()} cores"
    print(f"{arguments.spec} at {height}x{width} ({patches} patches, {work / 1e9:.1f} GFLOP an image)")
    print(f"{where}; torch {torch.__version__}")
    print("| precision | threads | batch | images/s | GFLOP/s | batch or alone: difference / RMS |")
    print("| --- | --- | --- | --- | --- | --- |")
    threads = sorted({1, os.cpu_count() or 1}) if device.type == "cpu" else [torch.get_num_threads()]
    for dtype in arguments.dtype:
        encoder = ImageEncoder(weights, device=device, dtype=getattr(torch, dtype))
        for count in threads:
            torch.set_num_threads(count)
            for batch in arguments.batch:
                images = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)
                rate = batch / seconds(encoder, images, arguments.duration)
                differs = f"{dependence(encoder, images):.1e}"
                print(f"| {dtype} | {count} | {batch} | {rate:.1f} | {rate * work / 1e9:.0f} | {differs} |", flush=True)


if __name__ == "__main__":
    main()
