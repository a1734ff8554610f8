"""Label Studio's predictions out."""

import json
from xml.sax.saxutils import quoteattr

from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.labels.labelled import LabelledImage, LabelledObject, LabelWriter, corners, hex_colors
from clipseg_hf.processing.masks.brush_rle import encode_brush
from clipseg_hf.processing.masks.outlines import mask_to_polygons

IMAGES = "/data/local-files/?d=images/"  # as Label Studio serves its local files


class LabelStudioWriter(LabelWriter):
    """`tasks.json`: tasks with predictions, `label_config.xml`: the project that they are imported into, `images/`.

    The images' addresses are those of Label Studio's local files: set `LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED` to
    true, `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT` to the folder, and add the folder `images` as a local storage.
    """

    name = "label_studio"
    allowed = ("rle", "polygons")

    def __init__(self, *args):
        super().__init__(*args)
        self._tasks: list[dict] = []

    def add(self, image: LabelledImage, file: str) -> None:
        result = [part for number, thing in enumerate(image.objects) for part in self._regions(thing, file, number)]
        for thing in image.objects:
            self.number(thing.label)
        scores = [thing.score for thing in image.objects if thing.score is not None]
        prediction: dict = {"model_version": self.model or "clipseg-hf", "result": result}
        if scores:
            prediction["score"] = round(sum(scores) / len(scores), 6)
        self._tasks.append({"data": {"image": IMAGES + file}, "predictions": [prediction]})

    def _regions(self, thing: LabelledObject, file: str, number: int) -> list[dict]:
        height, width = thing.mask.shape
        kind = "brushlabels" if self.outlines == "rle" else "polygonlabels"
        values: list[dict]
        if self.outlines == "rle":
            values = [{"format": "rle", "rle": encode_brush(thing.mask)}] if thing.mask.any() else []
        else:
            values = [
                {"points": [[100 * x / width, 100 * y / height] for x, y in corners(polygon)], "closed": True}
                for polygon in mask_to_polygons(thing.mask)
            ]
        score = {} if thing.score is None else {"score": round(thing.score, 6)}
        return [
            {
                "id": digest(file, str(number), str(part))[:10],
                "type": kind,
                "from_name": "label",
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {**value, kind: [thing.label]},
                **score,
            }
            for part, value in enumerate(values)
        ]

    def close(self) -> None:
        tag = "BrushLabels" if self.outlines == "rle" else "PolygonLabels"
        labels = "\n".join(
            f"    <Label value={quoteattr(label)} background={quoteattr(color)}/>"
            for label, color in hex_colors(list(self.numbers))
        )
        config = (
            f'<View>\n  <Image name="image" value="$image" zoom="true"/>\n  <{tag} name="label" toName="image">\n'
            f"{labels}\n  </{tag}>\n</View>\n"
        )
        (self.folder / "label_config.xml").write_text(config, encoding="utf-8")
        (self.folder / "tasks.json").write_text(json.dumps(self._tasks, ensure_ascii=False), encoding="utf-8")
