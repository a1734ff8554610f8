"""Takes data sets of rows out of the cache: Parquet files with the images in them, a card and a licence beside them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
from datasets.table import embed_table_storage

from clipseg_hf._version import __version__

BYTES_PER_FILE = 500_000_000
_ROWS_AT_ONCE = 64  # whose images are in memory together

PHRASECUT_LICENSE = """\
The annotations of Visual Genome (Krishna et al., IJCV 2017, https://homes.cs.washington.edu/~ranjay/visualgenome) are
licensed under the Creative Commons Attribution 4.0 International License, https://creativecommons.org/licenses/by/4.0/.
PhraseCut (Wu et al., CVPR 2020, https://github.com/ChenyunWu/PhraseCutDataset) adds phrases and masks to them; its
authors name no other licence. These files hold PhraseCut's phrases with the masks in another format (run lengths
instead of polygons), and what could not be read left out.

The photographs are from Flickr, by way of YFCC100M and MS COCO. They belong to those who took them, and each is under
the terms that its owner gave it. The licence above is not about them.
"""

_CARD = """\
---
license: cc-by-4.0
language: en
pretty_name: {title}
task_categories:
- image-segmentation
tags:
- referring-expression-segmentation
- clipseg
- phrasecut
---

# {title}

{what}

```python
from datasets import load_dataset

rows = load_dataset("{repo_id}", "{config_name}", split="{split}", streaming=True)
```

| Column | |
| --- | --- |
{columns}

Masks are COCO run lengths, `{{"size": [height, width], "counts": ...}}`; `clipseg_hf.processing.decode_rle` or
`pycocotools.mask.decode` make arrays of them.

| Split | Rows |
| --- | --- |
{splits}

Made by [clipseg-hf](https://pypi.org/project/clipseg-hf) {version} from PhraseCut's official files.

{summary}

## Licence

{license}
## Sources

- Wu, Lin, Cohen, Bui, Maji: *PhraseCut: Language-based Image Segmentation in the Wild*, CVPR 2020
- Lüddecke, Ecker: *Image Segmentation Using Text and Image Prompts*, CVPR 2022 (PhraseCut+)
- Krishna et al.: *Visual Genome*, IJCV 2017
"""

_TITLES = {"images": "PhraseCut", "plus": "PhraseCut+"}
_WHAT = {
    "images": "345,486 phrases and the regions of Visual Genome images that they name; one row per image.",
    "plus": "PhraseCut's phrases as CLIPSeg was trained on them: each in a template, with another image that shows the "
    "same as a support, one in five replaced by a phrase that is not true of the image. One row per sample.",
}
_COLUMNS = {
    "image": "the photograph",
    "image_id": "its number in Visual Genome",
    "height": "in pixels",
    "width": "in pixels",
    "phrases": "each `phrase_id`, `phrase`, its `name`, `attributes` and `relations`, `boxes` (x, y, width, height) of "
    "the instances, `mask` of all of them, `told_by` (what tells it from others: its name, an attribute, a relation)",
    "phrase_id": "of the phrase of this image, also where a negative took its place",
    "phrase": "what is asked",
    "prompt": "the phrase in its template",
    "negative": "whether the phrase is not true of the image",
    "mask": "what the phrase names; empty for a negative",
    "support_image": "another photograph that shows the phrase, if there is one",
    "support_image_id": "its number in Visual Genome",
    "support_phrase_id": "of the phrase there",
    "support_mask": "what the phrase names there",
}


def save_parquet(
    data: datasets.Dataset | datasets.DatasetDict,
    directory: str | os.PathLike,
    *,
    card: str | None = None,
    license_text: str | None = None,
    bytes_per_file: int = BYTES_PER_FILE,
) -> list[Path]:
    """Write rows as Parquet files that hold the images, to be read by `datasets.load_dataset(directory)`.

    Args:
        data: The rows, or several splits of them.
        directory: Gets `data/<split>-00000-of-00001.parquet`, and where they are given `README.md` and `LICENSE.txt`.
        card: The data set's card, see `phrasecut_card`.
        license_text: What goes into `LICENSE.txt`.
        bytes_per_file: About how large the files get.

    Returns:
        The Parquet files.

    Raises:
        FileExistsError: the directory holds Parquet files already; they would be read together with the new ones.
        FileNotFoundError: an image that the rows point to is gone.
    """
    directory = Path(directory)
    if left := sorted(directory.rglob("*.parquet")):
        raise FileExistsError(f"{left[0]} is there already: choose another directory, or delete it first.")
    (directory / "data").mkdir(parents=True, exist_ok=True)
    files = []
    for split, rows in _splits(data).items():
        parts = list(_write_parts(rows, directory / "data", split, bytes_per_file))
        for number, part in enumerate(parts):
            files.append(part.rename(directory / "data" / f"{split}-{number:05d}-of-{len(parts):05d}.parquet"))
    for name, text in (("README.md", card), ("LICENSE.txt", license_text)):
        if text is not None:
            (directory / name).write_text(text, encoding="utf-8")
    return files


def phrasecut_card(data: datasets.Dataset | datasets.DatasetDict, repo_id: str, config_name: str = "images") -> str:
    """The card of a data set that `PhraseCutPlus` built: what is in it, how it was made, whose it is.

    Args:
        data: The rows, or several splits of them.
        repo_id: Where it will be on the Hub.
        config_name: "images" or "plus".
    """
    splits = _splits(data)
    first = next(iter(splits.values()))
    return _CARD.format(
        title=_TITLES[config_name],
        what=_WHAT[config_name],
        repo_id=repo_id,
        config_name=config_name,
        split=next(iter(splits)),
        columns="\n".join(f"| `{column}` | {_COLUMNS[column]} |" for column in first.features),
        splits="\n".join(f"| {split} | {len(rows):,} |" for split, rows in splits.items()),
        version=__version__,
        summary=_code_block(first.info.description.partition("\n\n")[2]),
        license=PHRASECUT_LICENSE,
    )


def push_phrasecut_to_hub(
    data: datasets.Dataset | datasets.DatasetDict,
    repo_id: str,
    config_name: str = "images",
    *,
    private: bool | None = None,
    token: str | None = None,
    num_proc: int | None = None,
) -> str:
    """Publish what `PhraseCutPlus` built, images included, with a card and the licence.

    Both configurations can go into one repository. A card that is there already is kept.

    Args:
        data: The rows, or several splits of them.
        repo_id: "user/name".
        config_name: "images" or "plus".
        private, token, num_proc: As in `datasets.Dataset.push_to_hub`.

    Returns:
        The data set's address.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=token)
    url = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
    if not api.file_exists(repo_id, "LICENSE.txt", repo_type="dataset"):
        texts = {"README.md": phrasecut_card(data, repo_id, config_name), "LICENSE.txt": PHRASECUT_LICENSE}
        api.create_commit(
            repo_id,
            [CommitOperationAdd(name, text.encode()) for name, text in texts.items()],
            commit_message="Add the card and the licence",
            repo_type="dataset",
        )
    # Its own description of the columns and splits is added to the card.
    data.push_to_hub(
        repo_id, config_name=config_name, set_default=config_name == "images", token=token, num_proc=num_proc
    )
    return str(url)


def _splits(data: datasets.Dataset | datasets.DatasetDict) -> dict[str, datasets.Dataset]:
    if isinstance(data, datasets.DatasetDict):
        return dict(data)
    name = re.match(r"\w+", str(data.split or "train"))[0]  # without a slice, "train[:100]"
    return {name: data}


def _write_parts(rows: datasets.Dataset, directory: Path, split: str, bytes_per_file: int) -> Iterator[Path]:
    """Write files of about a size, under names that nobody reads as a data set's yet."""
    schema = rows.features.arrow_schema
    tables = (embed_table_storage(table.cast(schema)) for table in _tables(rows))
    table = next(tables, schema.empty_table())
    number = 0
    while table is not None:
        part = directory / f"{split}.{number}.incomplete"
        number, size = number + 1, 0
        with pyarrow.parquet.ParquetWriter(part, schema) as writer:
            while table is not None and size < bytes_per_file:
                writer.write_table(table)
                size += table.nbytes
                table = next(tables, None)
        yield part


def _tables(rows: datasets.Dataset) -> Iterator[pyarrow.Table]:
    return rows.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE)


def _code_block(text: str) -> str:
    return f"```\n{text}\n```" if text else ""
