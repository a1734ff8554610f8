"""GeoJSON out (RFC 7946), for maps: things of georeferenced pictures as polygons in longitude and latitude."""

from pathlib import Path
from typing import Any

from clipseg_hf._output_files import write_whole
from clipseg_hf.labels.georeference import read_georeference
from clipseg_hf.labels.labelled import LabelledImage, LabelWriter
from clipseg_hf.labels.spooled_list import SpooledList
from clipseg_hf.processing.masks.outlines import mask_to_rings


class GeoJsonWriter(LabelWriter):
    """`labels.geojson` with a feature for each thing, its label, score and picture among the properties; and `images/`.

    The RFC knows one system of coordinates, WGS 84, so polygons of pictures in another one are reprojected.
    """

    name = "geojson"
    allowed = ("polygons",)

    def __init__(self, *args):
        super().__init__(*args)
        self._features = SpooledList(self.folder)

    def add(self, image: LabelledImage, file: str) -> None:
        place = read_georeference(image.image, image.name, image.size)
        for thing in image.objects:
            self.number(thing.label)
            parts = mask_to_rings(thing.mask)
            if not parts:
                continue
            properties: dict[str, Any] = {"label": thing.label, "image": file}
            if thing.score is not None:
                properties["score"] = round(thing.score, 6)
            self._features.append({"type": "Feature", "geometry": place.geometry(parts), "properties": properties})

    def close(self) -> None:
        def write(draft: Path) -> None:
            with draft.open("w", encoding="utf-8") as out:
                out.write('{"type": "FeatureCollection", "features": ')
                self._features.write_to(out)
                out.write("}")

        write_whole(self.folder / "labels.geojson", write)
