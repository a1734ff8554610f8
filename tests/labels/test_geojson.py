"""GeoJSON of georeferenced pictures, drawn again by rasterio on the picture's own grid."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clipseg_hf.labels import LabelledImage, LabelledObject, write_labels
from clipseg_hf.labels.georeference import read_georeference
from clipseg_hf.processing.images import UnreadableImageError

rasterio = pytest.importorskip("rasterio", reason="The extra `tiff` is missing.")
for name in ("features", "warp"):
    pytest.importorskip(f"rasterio.{name}")

UTM = ("EPSG:32632", (0.1, 0, 500_000, 0, -0.1, 5_000_000))  # pixels of 10 cm near Turin
PLACES = {
    "utm": UTM,
    "lon and lat": ("EPSG:4326", (1e-5, 0, 127.0, 0, -1e-5, 37.5)),
    "turned, and rows run north": ("EPSG:3857", (0.6, 0.2, -8e6, -0.2, 0.6, -3e6)),
    "around the south pole": ("EPSG:3031", (10, 0, 1e6, 0, -10, 1e6)),
    "across the antimeridian": ("EPSG:32601", (2000, 0, 160_000, 0, -2000, 400_000)),
}


def geotiff(path: Path, size=(20, 30), place=UTM) -> Path:
    crs, transform = place
    options = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": size[0], "width": size[1]}
    with rasterio.open(path, "w", crs=crs, transform=rasterio.Affine(*transform), **options) as file:
        file.write(np.zeros((3, *size), np.uint8))
    return path


def write(path: Path, masks: dict[str, np.ndarray], out: Path) -> list[dict]:
    size = next(iter(masks.values())).shape
    things = [LabelledObject(label, mask, 0.75) for label, mask in masks.items()]
    write_labels([LabelledImage(path.name, path, size, things)], out, "geojson")
    record = json.loads((out / "labels.geojson").read_text())
    assert record.keys() == {"type", "features"} and record["type"] == "FeatureCollection"  # no "crs", says the RFC
    return record["features"]


def drawn(geometry: dict, path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        own = rasterio.warp.transform_geom("OGC:CRS84", file.crs, geometry)
        return rasterio.features.rasterize([own], (file.height, file.width), transform=file.transform).astype(bool)


def area(ring) -> float:
    x, y = (np.array(ring) - ring[0]).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


@settings(max_examples=60)
@given(
    place=st.sampled_from(sorted(PLACES)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
)
def test_masks_come_back(place, size, seed, share):
    mask = np.random.default_rng(seed).random(size) < share
    with tempfile.TemporaryDirectory() as folder:
        path = geotiff(Path(folder, "x.tif"), size, PLACES[place])
        features = write(path, {"field": mask}, Path(folder, "out"))
        assert len(features) == mask.any()
        for feature in features:
            assert np.array_equal(drawn(feature["geometry"], path), mask)
            polygons = feature["geometry"]["coordinates"]
            polygons = polygons if feature["geometry"]["type"] == "MultiPolygon" else [polygons]
            for outline, *holes in polygons:
                assert area(outline) > 0 and all(area(hole) < 0 for hole in holes)  # the right-hand rule
                for ring in (outline, *holes):
                    assert ring[0] == ring[-1] and len({tuple(corner) for corner in ring}) == len(ring) - 1


def test_a_feature_by_hand(tmp_path):
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:15, 10:20] = True
    mask[8, 12:14] = False
    path = geotiff(tmp_path / "x.tif", place=PLACES["lon and lat"])

    [feature] = write(path, {"a lake": mask}, tmp_path / "out")

    assert feature["properties"] == {"label": "a lake", "image": "x.tif", "score": 0.75}
    outline, hole = feature["geometry"]["coordinates"]
    left, right, top, bottom = 127.0001, 127.0002, 37.49995, 37.49985
    assert outline[0] == outline[-1] and sorted(outline[:4]) == sorted(
        [[left, bottom], [right, bottom], [right, top], [left, top]]
    )
    assert sorted(hole[:4])[0] == [127.00012, 37.49991] and feature["geometry"]["type"] == "Polygon"
    with rasterio.open(tmp_path / "out" / "images" / "x.tif") as copy:
        assert copy.crs.to_epsg() == 4326 and copy.transform.a == 1e-5


def test_what_lies_across_the_antimeridian_is_cut(tmp_path):
    mask = np.ones((20, 30), dtype=bool)
    path = geotiff(tmp_path / "x.tif", place=PLACES["across the antimeridian"])
    [feature] = write(path, {"sea": mask}, tmp_path / "out")
    west, east = sorted(feature["geometry"]["coordinates"], key=lambda polygon: polygon[0][0][0])
    assert all(-180 <= longitude < -179 for longitude, _ in west[0])
    assert all(179 < longitude <= 180 for longitude, _ in east[0])


def test_pictures_that_lie_nowhere_are_told(tmp_path, monkeypatch):
    Image.new("RGB", (30, 20)).save(tmp_path / "photo.jpg")
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    plain = (None, UTM[1])
    unplaced = geotiff(tmp_path / "unplaced.tif", place=("EPSG:32632", (1, 0, 0, 0, 1, 0)))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    with rasterio.open(tmp_path / "turned.jpg", "r+") as file:
        file.crs, file.transform = UTM[0], rasterio.Affine(*UTM[1])
    with rasterio.open(geotiff(tmp_path / "points.tif", place=plain), "r+") as file:
        file.gcps = [rasterio.control.GroundControlPoint(row, 0, row, row) for row in range(4)], UTM[0]
    for image, message in (
        (tmp_path / "photo.jpg", r"GeoJSON needs georeferenced pictures; x has neither a place nor a system of"),
        (
            geotiff(tmp_path / "plain.tif", place=plain),
            r"x has a place, but no system of coordinates such as EPSG:32632",
        ),
        (unplaced, r"x has a system of coordinates \(EPSG:32632\), but no place in it\."),
        (tmp_path / "points.tif", r"x has control points, but no transform: warp it first, by gdalwarp\."),
        (
            Image.new("RGB", (30, 20)),
            r"x is a picture in memory, which lies nowhere on earth: give the path of its GeoT",
        ),
        ("https://example.org/x.tif", r"x is not a file, whose georeference could be read: download it first\."),
        (
            tmp_path / "turned.jpg",
            r"x is turned by its EXIF orientation, its georeference is not: write it upright first",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            read_georeference(image, "x")
    with pytest.raises(UnreadableImageError, match=r"broken\.tif"):
        read_georeference(tmp_path / "broken.tif", "x")
    content = {"path": None, "bytes": geotiff(tmp_path / "x.tif").read_bytes()}
    assert read_georeference(content, "x").crs.to_epsg() == 32632
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    with pytest.raises(ImportError, match=r"For GeoJSON, rasterio must be installed: pip install 'clipseg-hf\[tiff\]'"):
        read_georeference(tmp_path / "x.tif", "x")
