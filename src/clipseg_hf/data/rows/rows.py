"""The row that all data takes: one image with the phrases that are true of it, and their masks.

"Rows" in this package are any sequence of such rows: a `datasets.Dataset` with `ROW_FEATURES`, or a plain list of
dictionaries. Every reader (PhraseCut, COCO, mask folders, the Hub, ...) makes them, everything else reads them.
"""

import datasets

RELATION_FEATURES = {"predicate": datasets.Value("string"), "object": datasets.Value("string")}

# COCO run lengths at the image's size: [height, width] and the packed counts.
MASK_FEATURES = {"size": datasets.List(datasets.Value("int32"), length=2), "counts": datasets.Value("string")}

PHRASE_FEATURES = {
    "phrase_id": datasets.Value("string"),  # unique within the data set
    "phrase": datasets.Value("string"),  # "small cat on sofa", without any prefix
    "name": datasets.Value("string"),  # "cat"
    "attributes": datasets.List(datasets.Value("string")),  # ["small"]
    "relations": datasets.List(RELATION_FEATURES),  # [{"predicate": "on", "object": "sofa"}]
    "boxes": datasets.List(datasets.List(datasets.Value("float32"))),  # one [x, y, width, height] per instance, pixels
    "mask": MASK_FEATURES,  # the union over the instances
    # Pixels that do not count for this phrase: the border between things, what nobody labelled, crowds. May be None or
    # lacking. What none of a row's phrases counts does not count for a phrase that is not true of the image, either.
    "ignore": MASK_FEATURES,
    # What tells the thing from others in its image, as PhraseCut knows it: "name", "attribute", "relation", "verbose"
    # (the phrase says more than is needed). May be None or lacking.
    "told_by": datasets.Value("string"),
}

ROW_FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "image_id": datasets.Value("string"),
        "height": datasets.Value("int32"),
        "width": datasets.Value("int32"),
        "phrases": datasets.List(PHRASE_FEATURES),
    }
)


def make_row(image: dict, image_id: str, size: tuple[int, int], phrases: list[dict]) -> dict:
    """Make one row of an image, its size (height, width), and what `make_phrase` made."""
    return {"image": image, "image_id": image_id, "height": size[0], "width": size[1], "phrases": phrases}


def make_phrase(
    phrase: str,
    mask: dict,
    *,
    phrase_id: str,
    name: str | None = None,
    attributes: list[str] | None = None,
    relations: list[dict[str, str]] | None = None,
    boxes: list[list[float]] | None = None,
    ignore: dict | None = None,
    told_by: str | None = None,
) -> dict:
    """Make one entry of a row's `phrases`, with the fields that its source does not know filled in.

    Args:
        phrase: What the mask shows, without any prefix.
        mask: COCO run lengths, `{"size": [height, width], "counts": str}`.
        phrase_id: Unique within the data set.
        name: The bare noun of the phrase; the whole phrase where it is not known.
        boxes: One `[x, y, width, height]` per instance, in pixels; the mask's own box where they are not known.
        ignore: COCO run lengths of the pixels that do not count for the phrase; None where all do.
        told_by: What tells the thing from others in its image: "name", "attribute", "relation" or "verbose".
    """
    from pycocotools import mask as coco

    if boxes is None:
        boxes = [[float(value) for value in coco.toBbox({"size": mask["size"], "counts": mask["counts"].encode()})]]
    return {
        "phrase_id": phrase_id,
        "phrase": phrase,
        "name": phrase if name is None else name,
        "attributes": list(attributes or []),
        "relations": list(relations or []),
        "boxes": boxes,
        "mask": mask,
        "ignore": ignore,
        "told_by": told_by,
    }


def only_columns(rows, *names: str):
    """The rows with some of their fields alone, where they are a `datasets.Dataset`, so that no image is decoded."""
    return rows.select_columns(list(names)) if hasattr(rows, "select_columns") else rows


def take(rows, numbers):
    """Some of the rows, in that order."""
    numbers = list(numbers)
    return rows.select(numbers) if hasattr(rows, "select") else [rows[i] for i in numbers]


def evenly(rows, count: int):
    """At most `count` rows, evenly spread over all of them."""
    total = len(rows)
    return take(rows, [i * total // count for i in range(count)] if total > count else range(total))
