"""The coordinate system of a survey: kept as it is stored, and heeded in what it says of the unit."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import replace

from ditr.captures.clouds import Cloud
from ditr.scene import ReadOptions

__all__ = ["coordinate_system"]

_OWNER = "LASF_Projection"
_WKT, _KEYS, _DOUBLES, _TEXTS = 2112, 34735, 34736, 34737
_PROJECTED, _GEOGRAPHIC, _MODEL, _LINEAR_UNIT = 3072, 2048, 1024, 3076
_METRES = {9001: 1.0, 9002: 0.3048, 9003: 1200 / 3937}
"""Metres of one unit, by the number that EPSG gives to it: metre, foot, foot of US surveys."""


def coordinate_system(cloud: Cloud, records: Mapping[tuple[str, int], bytes]) -> None:
    """Keep what the records of a LAS file say of the coordinate system, and heed its unit; z is up in all of them."""
    wkt = records.get((_OWNER, _WKT), b"").split(b"\0")[0].decode("utf-8", "replace").strip()
    keys = _geo_keys(records.get((_OWNER, _KEYS), b""))
    crs: dict[str, object] = {}
    if wkt:
        crs["wkt"] = wkt
    if keys:
        crs["geo_keys"] = [[number, value] for number, value in keys.items()]
        epsg = keys.get(_PROJECTED) or keys.get(_GEOGRAPHIC)
        if epsg and epsg != 32767:
            crs["epsg"] = epsg
        texts = records.get((_OWNER, _TEXTS), b"").decode("latin-1").strip("\0|")
        if texts:
            crs["geo_text"] = texts
    cloud.reading = ReadOptions(up=(0.0, 0.0, 1.0))
    if not crs:
        return
    cloud.properties["crs"] = crs
    metres, is_degrees = _unit_of(wkt, keys)
    if is_degrees:
        cloud.warn("scale", "its coordinate system is in degrees, which are not lengths; reproject it to metres")
    elif metres is not None and metres != 1.0:
        crs["unit"] = metres
        cloud.reading = replace(cloud.reading, unit=metres)
        cloud.say("scale", f"its coordinate system has units of {metres:.4g} m")


def _geo_keys(data: bytes) -> dict[int, int]:
    """Those whose value stands in the directory itself."""
    numbers = struct.unpack(f"<{len(data) // 2}H", data[: len(data) // 2 * 2])
    rows = [numbers[at : at + 4] for at in range(4, len(numbers) - 3, 4)]
    return {number: value for number, place, _, value in rows if place == 0 and number}


def _unit_of(wkt: str, keys: Mapping[int, int]) -> tuple[float | None, bool]:
    """Metres of one unit, where that is said, and whether coordinates are degrees."""
    if wkt:
        if re.search(r"\b(PROJCS|PROJCRS|PROJECTEDCRS)\b\s*\[", wkt) is None:
            return None, re.search(r"\b(GEOGCS|GEOGCRS|GEODCRS)\b\s*\[", wkt) is not None and "GEOCCS" not in wkt
        # Heights have a unit of their own; that of the projection comes after those of the systems it stands on.
        horizontal = re.split(r"\b(?:VERT_?CS|VERTCRS|VERTICALCRS)\b", wkt)[0]
        units = re.findall(r"\b(?:LENGTHUNIT|UNIT)\s*\[\s*\"[^\"]*\"\s*,\s*([0-9.eE+-]+)", horizontal)
        lengths = [float(text) for text in units if _is_length(text)]
        return (lengths[-1] if lengths else None), False
    return _METRES.get(keys.get(_LINEAR_UNIT, 0)), keys.get(_MODEL) == 2


def _is_length(text: str) -> bool:
    """Whether this is rather metres of a unit than the radians of a degree."""
    try:
        return 0.2 < float(text) < 1.0001
    except ValueError:
        return False
