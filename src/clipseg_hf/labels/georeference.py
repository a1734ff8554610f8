"""Where on earth a picture's pixels are, by rasterio (GDAL)."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from clipseg_hf.processing.images import UnreadableImageError, explaining, measure_turned

_DIGITS = 9  # a tenth of a millimetre


@dataclass(frozen=True)
class Georeference:
    """How pixels lie on the map.

    Attributes:
        crs: the picture's system of coordinates, rasterio's.
        transform: (column, row) of pixels' corners to coordinates in it, an `affine.Affine`.
    """

    crs: Any
    transform: Any

    def geometry(self, parts: Sequence[Sequence[np.ndarray]]) -> dict[str, Any]:
        """Polygons of a picture as RFC 7946 has them: WGS 84, outlines counter-clockwise, holes clockwise, cut in two
        at the antimeridian.

        Args:
            parts: of each an outline and its holes, (n, 2) corners as (column, row).

        Returns:
            a Polygon, or a MultiPolygon of several.
        """
        from rasterio.warp import transform_geom

        rings = {"type": "MultiPolygon", "coordinates": [[self._ring(ring) for ring in part] for part in parts]}
        found = transform_geom(self.crs, "OGC:CRS84", rings, precision=_DIGITS)
        polygons = found["coordinates"] if found["type"] == "MultiPolygon" else [found["coordinates"]]
        wound = [[_wound(ring, number == 0) for number, ring in enumerate(polygon)] for polygon in polygons]
        if len(wound) == 1:
            return {"type": "Polygon", "coordinates": wound[0]}
        return {"type": "MultiPolygon", "coordinates": wound}

    def _ring(self, ring: np.ndarray) -> list[tuple[float, float]]:
        closed = np.concatenate((ring, ring[:1]))
        a, b, c, d, e, f = self.transform[:6]
        column, row = closed.T.astype(float)
        return list(zip((a * column + b * row + c).tolist(), (d * column + e * row + f).tolist(), strict=True))


def read_georeference(image: Any, name: str, size: tuple[int, int] | None = None) -> Georeference:
    """What a picture's file says of its place: GeoTIFF's tags, or those of any format that GDAL knows.

    Args:
        image: a path, or `{"path", "bytes"}`.
        name: what to call it.
        size: (height, width) that masks have; None: as the file's.

    Raises:
        ValueError: it is not georeferenced, or turned by its EXIF; an `UnreadableImageError` where it is broken.
        ImportError: rasterio is missing.
    """
    try:
        import rasterio
    except ImportError as error:
        raise ImportError("For GeoJSON, rasterio must be installed: pip install 'clipseg-hf[tiff]'.") from error

    if isinstance(image, Mapping):
        image = image.get("path") if image.get("bytes") is None else image["bytes"]
    if isinstance(image, Image.Image) or not isinstance(image, (str, os.PathLike, bytes)):
        raise ValueError(f"{name} is a picture in memory, which lies nowhere on earth: give the path of its GeoTIFF.")
    if not isinstance(image, bytes) and not os.path.isfile(image):
        raise ValueError(f"{name} is not a file, whose georeference could be read: download it first.")
    _, orientation = measure_turned(image, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with explaining(name), _opened(rasterio, image) as file:
            crs, transform, found = file.crs, file.transform, (file.height, file.width)
            has_points = bool(file.gcps[0]) or file.rpcs is not None
    if crs is None or transform.is_identity:
        if has_points:
            lacks = "control points, but no transform: warp it first, by gdalwarp"
        elif not transform.is_identity:
            lacks = "a place, but no system of coordinates such as EPSG:32632"
        elif crs is not None:
            lacks = f"a system of coordinates ({crs.to_string()}), but no place in it"
        else:
            lacks = "neither a place nor a system of coordinates (GeoTIFF's tags)"
        raise ValueError(f"GeoJSON needs georeferenced pictures; {name} has {lacks}.")
    if orientation != 1 or size not in (None, found):
        raise ValueError(f"{name} is turned by its EXIF orientation, its georeference is not: write it upright first.")
    return Georeference(crs, transform)


def check_georeferences(pictures: Iterable[tuple[Any, str]]) -> None:
    """Raise what `read_georeference` says of the first picture (image, name) that has none, before any is asked; broken
    ones are passed over, and told when their turn comes."""
    for image, name in pictures:
        with suppress(UnreadableImageError):
            read_georeference(image, name)


def _opened(rasterio: Any, image: str | os.PathLike | bytes) -> Any:
    return rasterio.MemoryFile(image).open() if isinstance(image, bytes) else rasterio.open(image)


def _wound(ring: Sequence[Sequence[float]], is_outline: bool) -> list[list[float]]:
    """A closed ring, counter-clockwise where it is an outline, else clockwise; without the corner that GDAL doubles
    where it cuts."""
    ring = [corner for number, corner in enumerate(ring) if not number or tuple(corner) != tuple(ring[number - 1])]
    x, y = np.array(ring)[:, :2].T
    x, y = x - x[0], y - y[0]  # else what is far from 0 would lose its digits
    is_counter_clockwise = float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) > 0
    return [list(corner) for corner in (ring if is_counter_clockwise == is_outline else ring[::-1])]
