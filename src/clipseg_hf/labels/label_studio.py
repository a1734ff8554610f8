"""Label Studio's predictions out."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from clipseg_hf._output_files import write_whole
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.labels.labelled import LabelledImage, LabelledObject, LabelWriter, Outlines, corners, hex_colors
from clipseg_hf.labels.spooled_list import SpooledList
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
        self._tasks = SpooledList(self.folder)  # brush strokes are long

    def add(self, image: LabelledImage, file: str) -> None:
        for thing in image.objects:
            self.number(thing.label)
        prediction = label_studio_prediction(image.objects, file, outlines=self.outlines)
        version = {"model_version": self.model or "clipseg-hf"}
        self._tasks.append({"data": {"image": IMAGES + file}, "predictions": [version | prediction]})

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

        def write(draft: Path) -> None:
            with draft.open("w", encoding="utf-8") as out:
                self._tasks.write_to(out)

        write_whole(self.folder / "tasks.json", write)


def label_studio_prediction(
    things: Sequence[LabelledObject],
    name: str,
    *,
    outlines: Outlines = "rle",
    from_name: str = "label",
    to_name: str = "image",
) -> dict:
    """What Label Studio takes as a prediction for one image, but for the version of the model.

    Args:
        things: in any order; of the image's size.
        name: what regions are called after: the same name and things give the same `id`s.
        outlines: "rle" for `<BrushLabels>`, "polygons" for `<PolygonLabels>`.
        from_name, to_name: what the project calls that tag, and its image.

    Returns:
        `result`, a region for each thing (of polygons, for each of its parts), and `score`, their mean, if it is known.
    """
    places = from_name, to_name
    result = [
        region
        for number, thing in enumerate(things)
        for region in _regions(thing, f"{name} {number}", outlines, places)
    ]
    scores = [thing.score for thing in things if thing.score is not None]
    return {"result": result} | ({"score": round(sum(scores) / len(scores), 6)} if scores else {})


def _regions(thing: LabelledObject, name: str, outlines: Outlines, places: tuple[str, str]) -> list[dict]:
    height, width = thing.mask.shape
    kind = "brushlabels" if outlines == "rle" else "polygonlabels"
    values: list[dict]
    if outlines == "rle":
        values = [{"format": "rle", "rle": encode_brush(thing.mask)}] if thing.mask.any() else []
    else:
        values = [
            {"points": [[100 * x / width, 100 * y / height] for x, y in corners(polygon)], "closed": True}
            for polygon in mask_to_polygons(thing.mask)
        ]
    score = {} if thing.score is None else {"score": round(thing.score, 6)}
    return [
        {
            "id": digest(name, str(part))[:10],
            "type": kind,
            "from_name": places[0],
            "to_name": places[1],
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {**value, kind: [thing.label]},
            **score,
        }
        for part, value in enumerate(values)
    ]
