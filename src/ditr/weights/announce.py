"""What taking a published model means, before it is taken: what is downloaded, its licence, and where it is kept."""

from __future__ import annotations

from huggingface_hub import constants

from ditr.datasets.table import by_name
from ditr.errors import InputError
from ditr.io.hub import file_sizes
from ditr.weights.missing import Download, missing_downloads, out_of_reach
from ditr.weights.pretrained import license_told
from ditr.weights.published import REPOSITORY, PublishedModel, converted_folder
from ditr.weights.saved_model import read_config

__all__ = ["announce"]


def announce(model: PublishedModel) -> list[str]:
    """Lines that say what a published model is and what has to be downloaded for it; asks the hub for sizes.

    Raises:
        InputError: the hub does not answer, or has not what is needed; the text says what to do without it. Nothing
            was written.
    """
    downloads = missing_downloads(model)
    folder = converted_folder(model)
    sizes = [_size(download, model) for download in downloads]
    total = " + ".join(f"{size} {download.what}" for size, download in zip(sizes, downloads, strict=True))
    here = (folder / "config.json").exists()
    if here:
        license = read_config(folder).license or f"not recorded here; see https://huggingface.co/{REPOSITORY}"
    else:
        license = license_told(REPOSITORY)
    places = f"{folder}" + (f"; downloads in {constants.HF_HUB_CACHE}" if downloads else "")
    classes = by_name(model.dataset).class_count
    return [
        f"published mIoU {model.miou} on {model.dataset}, {classes} classes (validation set; not re-measured here)",
        f"download, once: {total}" if downloads else "nothing to download; it is already on this machine",
        f"licence of the weights: {license}",
        f"kept in {places}",
    ]


def _size(download: Download, model: PublishedModel) -> str:
    """As the hub states it; where it states none, what the weights alone take."""
    try:
        sizes = file_sizes(download.repository)
    except InputError as fault:
        raise out_of_reach(model, fault) from None
    for name in download.names:
        if sizes.get(name) is not None and not name.endswith(".json"):
            return f"{(sizes[name] or 0) / 1e6:,.0f} MB"
    return f"at least {download.weights / 1e6:,.0f} MB"
