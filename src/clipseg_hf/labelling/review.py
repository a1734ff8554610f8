"""The labels that a run is least sure of, as a page: one HTML file, without anything from elsewhere."""

import base64
import heapq
import io
import os
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from clipseg_hf._counted import counted
from clipseg_hf._output_files import write_whole
from clipseg_hf.drawing.overlay import paint_mask, palette
from clipseg_hf.labelling.pictures import Pictures
from clipseg_hf.labelling.shards import read_rows
from clipseg_hf.processing import decode_rle, load_image

REVIEW = "review.html"
_SIDE = 320  # of a thumbnail, in pixels
_STYLE = """
body { margin: 2rem; font: 15px/1.45 system-ui, sans-serif; color: #1f2937; background: #f3f4f6; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; }
p { max-width: 48rem; color: #4b5563; margin: .3rem 0; }
table { border-collapse: collapse; margin: 1rem 0; background: #fff; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid #e5e7eb; padding: .2rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
i { display: inline-block; width: .8em; height: .8em; border-radius: .2em; margin-right: .4em; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 1rem; }
figure { margin: 0; background: #fff; border: 1px solid #e5e7eb; border-radius: 8px; overflow: hidden; }
figure img { width: 100%; height: 220px; object-fit: contain; background: #111827; display: block; }
figcaption { padding: .5rem .7rem; overflow-wrap: anywhere; }
figcaption span { color: #6b7280; font-size: .85em; display: block; }
"""


def sureness(row: dict[str, Any]) -> float:
    """How sure a run is of one of its rows, in [0, 1]: 0 where a little more or less would have changed what it says.

    It is how far presence lies from its threshold, as a share of what is possible on that side; and of what is present,
    how far the score does, if that is less.
    """
    bound, presence = row["presence_threshold"], row["presence"]
    if not row["is_present"]:
        return _share(bound - presence, bound)
    return min(_share(presence - bound, 1 - bound), _share(row["score"] - row["threshold"], 1 - row["threshold"]))


def _share(part: float, whole: float) -> float:
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else 0.0


def write_review(folder: str | os.PathLike, pictures: Pictures, number: int) -> Path:
    """Write the rows that a run is least sure of as `review.html`, the least sure first.

    Args:
        folder: of the run.
        pictures: those of the run.
        number: of rows, at most.

    Returns:
        The page.

    Raises:
        ValueError: no number of rows.
    """
    if number < 1:
        raise ValueError(f"A review shows at least 1 row, got {number}.")
    places = {name: place for place, name in enumerate(pictures.names)}
    asked: Counter[str] = Counter()
    present: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, Any]]:
        for row in read_rows(folder):
            if row["error"] is None:
                asked[row["label"]] += 1
                present[row["label"]] += row["is_present"]
                yield row

    chosen = heapq.nsmallest(number, rows(), key=sureness)  # stable: the same page from the same rows
    colors = dict(zip(asked, palette(len(asked)), strict=True))
    cards = [_card(row, pictures.image(places[row["image"]]), colors[row["label"]]) for row in chosen]
    shown = Counter(row["label"] for row in chosen)
    table = [
        f"<tr><td>{_square(colors[label])}{escape(label)}</td><td>{present[label]:,} of {asked[label]:,}</td>"
        f"<td>{shown[label]:,}</td></tr>"
        for label in asked
    ]
    text = _page(chosen, table, cards)
    path = Path(folder) / REVIEW
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))
    return path


def _page(chosen: list[dict], table: list[str], cards: list[str]) -> str:
    title = f"{counted(len(chosen), 'label')} to look at"
    head = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n<body>\n'
    )
    what = (
        f"<h1>{title}</h1>\n<p>Those that the model is least sure of, the least sure first: presence, or the score of "
        "what is present, lies closest to its threshold (in parentheses). Where it calls a thing absent, the mask that "
        "it would have had is drawn as an outline.</p>\n"
    )
    rows = "\n".join(table)
    return (
        f"{head}{what}<table>\n<tr><th>prompt</th><th>present in</th><th>on this page</th></tr>\n{rows}\n</table>\n"
        "<main>\n" + "\n".join(cards) + "\n</main>\n</body>\n</html>\n"
    )


def _card(row: dict[str, Any], image: Any, color: tuple[int, int, int]) -> str:
    picture = load_image(image, row["image"])
    mask = decode_rle({"size": [row["height"], row["width"]], "counts": row["rle"]})
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    paint_mask(picture, mask, color, 0.45 if row["is_present"] else 0.0, line=1, halo=1)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    source = f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
    label, name = escape(row["label"]), escape(row["image"])
    verdict = "present" if row["is_present"] else "absent"
    return (
        f'<figure><img alt="{label} in {name}" src="{source}"><figcaption>{_square(color)}<b>{label}</b>: {verdict}'
        f"<span>sure {sureness(row):.2f}, presence {row['presence']:.3f} ({row['presence_threshold']:.3f}), "
        f"score {row['score']:.2f} ({row['threshold']:.2f})</span><span>{name}</span></figcaption></figure>"
    )


def _square(color: tuple[int, int, int]) -> str:
    return '<i style="background: #{:02x}{:02x}{:02x}"></i>'.format(*color)
