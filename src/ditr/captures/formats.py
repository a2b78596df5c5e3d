"""Files and folders of other tools, named as what they are, with what to do about them."""

from __future__ import annotations

import re
from pathlib import Path

from ditr.errors import InputError, few

__all__ = ["format_of", "is_capture", "refuse_photographs", "refuse_stranger"]

_TO_JPEG = "Convert it to JPEG or PNG"
_TO_PLY = "Convert it to PLY, as `ditr import` or CloudCompare does"
_SAMPLE = "Sample points on its surface and save them as PLY"
_REWRITE = "Convert its content to the expected format"
_EXR = (
    "Convert depth to .npy, as cv2.imread(path, cv2.IMREAD_UNCHANGED) and numpy.save do (with "
    "OPENCV_IO_ENABLE_OPENEXR=1 set), and give depth_unit_scale_factor 1 for metres; photographs to JPEG or PNG"
)
_TABLE = "If these are points, write them as CSV, as `pandas.read_{}(path).to_csv('cloud.csv', index=False)` does"
_VIDEO = "Extract single photographs, as `ffmpeg -i f.mp4 f%04d.png` does"
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\Z", "an empty file", "Copy or write it again"),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the file itself", "Fetch the file with `git lfs pull`"),
    (rb"\s*<(?i:(!doctype )?html)", "a page of HTML", "Download the file itself"),
    (rb".{4}ftyp(heic|heix|hevc|heim|heis|mif1|msf1)", "a HEIC photograph", _TO_JPEG + ", as `heif-convert` does"),
    (rb".{4}ftypavi[fs]", "an AVIF photograph", _TO_JPEG),
    (rb".{4}ftyp|\x1a\x45\xdf\xa3", "a video", _VIDEO),
    (rb"\xff\x0a|.{4}JXL ", "a JPEG XL photograph", _TO_JPEG),
    (rb".{4}jP  |\xff\x4f\xff\x51", "a JPEG 2000 photograph", _TO_JPEG),
    (rb"\x76\x2f\x31\x01", "an OpenEXR image", _EXR),
    (rb"#\?(RADIANCE|RGBE)", "a Radiance HDR image", _TO_JPEG),
    (rb"P[fF]\s", "a PFM image", "Convert depth to .npy and photographs to PNG"),
    (rb"LASF", "a LAS or LAZ point cloud", _TO_PLY),
    (rb"ASTM-E57", "an E57 point cloud", _TO_PLY),
    (rb"(#[^\n]*\n)*(# \.PCD|VERSION [.\d]+\s+FIELDS)", "a PCD point cloud", _TO_PLY),
    (rb"# 3D point list with one line", "COLMAP's list of points", "Convert it with `colmap model_converter` to PLY"),
    (rb"glTF|\{\s*\"asset\"", "a glTF model", _SAMPLE),
    (rb"Kaydara FBX|; FBX", "an FBX model", _SAMPLE),
    (rb"(#[^\n]*\n|\s)*(mtllib|v|o|g) [^\n]*\n", "an OBJ model", _SAMPLE),
    (rb"solid ", "an STL model", _SAMPLE),
    (rb"\x93NUMPY", "a NumPy array", _REWRITE),
    (rb"\x89HDF", "an HDF5 file", _REWRITE),
    (rb"SQLite format 3", "an SQLite database", "Name its folder, the project of COLMAP or the bag of ROS 2"),
    (rb"ARROW1|FEA1", "an Arrow table (Feather)", _TABLE.format("feather")),
    (rb"PAR1", "a Parquet table", _TABLE.format("parquet")),
    (
        rb"\x80[\x02-\x05]",
        "a pickle, which may run anything when it is loaded",
        "Write the arrays in it as .npy or CSV",
    ),
    (rb"PK\x03\x04", "a ZIP archive", "Unpack it"),
    (rb"\x1f\x8b", "a gzip archive", "Unpack it"),
    (rb"ply[ \t]*[\r\n]", "a PLY point cloud", ""),
    (rb"\x89PNG", "a PNG image", ""),
    (rb"\xff\xd8\xff", "a JPEG image", ""),
)
"""First bytes, whose they are, and what to do about such a file; "" where it may be one of ours, damaged."""


_ENDINGS = {
    ".tfrecord": ("a file of TensorFlow's records", "Prepare Waymo's as Pointcept does, and see `ditr verify --help`")
}
"""Kinds of files that have no first bytes of their own."""


def format_of(path: Path) -> tuple[str, str] | None:
    """What a file is by its first bytes, and what to do about one of that kind; None where that cannot be told."""
    try:
        with path.open("rb") as file:
            start = file.read(2048)
    except OSError:
        return None
    for pattern, name, remedy in _BEGINNINGS:
        if re.match(pattern, start, re.DOTALL):
            return name, remedy
    return _ENDINGS.get(path.suffix.lower())


def _process(kind: str, first: str = "") -> str:
    return (
        f"{first}Make a transforms.json of it, as nerfstudio's `ns-process-data {kind}` does, with its point cloud as "
        "PLY"
    )


_WRITE = "Write its poses as transforms.json, with its point cloud as PLY"
_EXPORT = "Export its cameras and cloud. "
_PREPARED = "Prepare the benchmark as Pointcept does, and see `ditr verify --help`"
_FOLDERS: tuple[tuple[str, str, str], ...] = (
    (
        "sparse/* colmap/sparse/* cameras.bin cameras.txt database.db",
        "a COLMAP project without the cameras and images of a model, and",
        "Finish its reconstruction: a model is cameras, images and points3D, as `colmap mapper` writes them",
    ),
    ("keyframes/* mesh_info.json", "an export of Polycam without keyframes/cameras, and", "Export it as raw data"),
    ("rgbd/* EXR_RGBD", "a recording of Record3D without its metadata, and", "Share it as .r3d, and unpack that"),
    ("odometry.csv camera_matrix.csv", "a capture of Stray Scanner", _WRITE),
    ("frame_00000.json", "a capture of 3D Scanner App", _WRITE),
    (
        "transforms_train.json",
        "a synthetic scene of NeRF",
        "Rename one of its files to transforms.json, and put a PLY file beside it",
    ),
    ("dataparser_transforms.json nerfstudio_models", "a model of nerfstudio", "Name the folder of its data instead"),
    ("point_cloud/iteration_*", "a Gaussian splat", "Name the folder of its photographs and poses instead"),
    ("opensfm/reconstruction.json odm_georeferencing", "a project of OpenDroneMap", _process("odm")),
    ("sfm_data.json cameras.sfm sfm.abc", "a project of OpenMVG or Meshroom", _WRITE),
    ("*.psx", "a project of Metashape", _process("metashape", _EXPORT)),
    ("*.rcproj", "a project of RealityCapture", _process("realitycapture", _EXPORT)),
    ("*.sens *_vh_clean_2.ply", "a scan of ScanNet", _PREPARED),
    ("dslr/nerfstudio iphone/rgb.mkv", "a scan of ScanNet++", _PREPARED),
    ("pose/*.txt intrinsic/*.txt", "frames of a scan as ScanNet's exporter writes them,", _WRITE),
    (
        "v1.*-* sample_data.json samples/LIDAR_TOP sweeps/LIDAR_TOP",
        "a folder of nuScenes or Lyft",
        "Name a sweep of it (samples/LIDAR_TOP/*.bin), or see `ditr verify --help`",
    ),
    ("sensors/lidar/*.feather city_SE3_egovehicle.feather", "a log of Argoverse 2", _TABLE.format("feather")),
    ("*.tfrecord v1/*.tfrecord", "records of Waymo", _PREPARED),
    ("velodyne/*.bin", "a folder of a driving benchmark", "See `ditr verify --help`"),
)
"""Patterns of what a folder holds, whose it is then, and what to do about it."""


def is_capture(path: Path) -> bool:
    """Whether this is a folder with a ``transforms.json``."""
    return (path / "transforms.json").exists()


def refuse_stranger(path: Path, readable: str) -> None:
    """Name what a path is that is neither a capture nor of another format that can be read; go on only with a folder of
    which nothing is known.

    Args:
        path: of something that no reader recognises.
        readable: for errors: what can be read.

    Raises:
        InputError: no such file or folder, a file, a folder of another tool, or one that holds captures.
    """
    if path.is_file():
        if is_capture(path.parent):
            raise InputError(path, "this is a file of a capture, not a capture", f"Name its folder: {path.parent}")
        if re.fullmatch(r"(cameras|images|points3D|frames|rigs)\.(bin|txt)", path.name):
            raise InputError(path, "this is a file of a COLMAP model, not a capture", f"Name its folder: {path.parent}")
        named, remedy = format_of(path) or ("a file of an unknown format", "")
        raise InputError(path, f"this is not a capture, but {named}", remedy or readable)
    if not path.is_dir():
        raise InputError(path, "there is no such folder or file", f"Correct the path. {readable}")
    for patterns, name, remedy in _FOLDERS:
        if any(next(path.glob(pattern), None) is not None for pattern in patterns.split()):
            raise InputError(path, f"this is not a capture, but {name} without a transforms.json", remedy)
    captures = sorted(inner.parent.name for inner in path.glob("*/transforms.json"))
    if captures:
        raise InputError(
            path, f"this folder holds captures ({few(captures, 3)}) but is not one itself", "Name one of them"
        )


_PHOTOGRAPHS = frozenset({".jpg", ".jpeg", ".png", ".heic", ".tif", ".tiff", ".webp"})


def refuse_photographs(path: Path, *, belongs: bool) -> None:
    """Say of a folder of photographs what it lacks; go on with any other.

    Args:
        path: a folder that no reader recognises.
        belongs: whether the folder above can be read.

    Raises:
        InputError: there are photographs in it, or in its folder ``images``.
    """
    for folder in (path, path / "images"):
        count = sum(entry.suffix.lower() in _PHOTOGRAPHS for entry in folder.iterdir()) if folder.is_dir() else 0
        if count:
            made = (
                "Reconstruct their poses and a point cloud (`colmap automatic_reconstructor` does both), and name its "
                "folder"
            )
            remedy = f"Name the folder that they belong to: {path.parent}" if belongs else made
            there = "is 1 photograph" if count == 1 else f"are {count} photographs"
            raise InputError(folder, f"there {there} here, but no poses and no point cloud", remedy)
