"""The files and folders of annotations that can be read, recognised by what is in them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ditr.errors import InputError
from ditr.labelling.annotations import coco, cvat, label_studio, png_masks
from ditr.labelling.annotations.files import MOST_BYTES, is_zip, opened, read_json, read_whole
from ditr.labelling.annotations.label_image import Annotations
from ditr.labelling.annotations.palette import Palette

__all__ = ["read_annotations"]

_READABLE = (
    "Supported are a folder or zip of label images (PNG), CVAT for images 1.1 (.xml or .zip), Label Studio's "
    "JSON, and COCO's instances.json"
)


def read_annotations(path: Path, palette: Palette | None = None) -> Annotations:
    """Read the annotation of photographs.

    Args:
        path: a file or folder.
        palette: what numbers and colours of label images mean; None for the file beside them. Other formats name their
            classes themselves.

    Raises:
        InputError: nothing that can be read, or damaged.
    """
    if not path.exists():
        raise InputError(path, "there is no such file or folder", _READABLE)
    if cvat.recognise(path) is not None:
        found = cvat.read(path)
    elif path.is_dir() or is_zip(path):
        found = _in_folder(path, palette)
    else:
        found = _of_json(read_whole(path), str(path))
    if palette is not None and found.title.startswith("annotations of"):
        raise InputError(
            "--classes", f"{path} already names its classes", "Leave it out; --map OLD=NEW renames classes"
        )
    if not found.images:
        raise InputError(path, "no photograph is annotated in it", "Draw labels, and export it again")
    return found


def _in_folder(path: Path, palette: Palette | None) -> Annotations:
    with opened(path) as files:
        names = [name for name in files.names if name.lower().endswith(".json")]
        found = [name for name in names if PurePosixPath(name).name.startswith("instances")]
        if not found and png_masks.recognise(path) is not None:
            return png_masks.read(path, palette)
        found = found or names
        if len(found) != 1:
            raise InputError(path, f"it holds {len(found)} files that may be annotations", _READABLE)
        content, where = files.read(found[0], MOST_BYTES), files.where(found[0])
    return _of_json(content, where)


def _of_json(content: bytes, where: str) -> Annotations:
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        raise InputError(where, "its format of annotations is not supported", _READABLE)
    values = read_json(content, where)
    if isinstance(values, dict) and "images" in values and "annotations" in values:
        return coco.from_values(values, where)
    if isinstance(values, list) and values and isinstance(values[0], dict) and "image_id" in values[0]:
        raise InputError(
            where, "these are COCO's results, without images and categories", "Name the file with the annotations"
        )
    if isinstance(values, list):
        return label_studio.from_values(values, where)
    raise InputError(where, "it is JSON, but neither from COCO nor from Label Studio", _READABLE)
