"""PhraseCut on the Hub: what there is to say of it, and whose it is."""

import datasets

from clipseg_hf._version import __version__
from clipseg_hf.data.parquet_files import BYTES_PER_FILE, save_parquet, splits_of

__all__ = ["BYTES_PER_FILE", "PHRASECUT_LICENSE", "phrasecut_card", "push_phrasecut_to_hub", "save_parquet"]

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

{sources}
"""

TITLES = {"images": "PhraseCut", "plus": "PhraseCut+"}
WHAT = {
    "images": "PhraseCut: phrases and the regions of Visual Genome images that they name; one row per image.",
    "plus": "PhraseCut's phrases as CLIPSeg was trained on them: each in a template, with another image that shows the "
    "same as a support, one in five replaced by a phrase that is not true of the image. One row per sample.",
}
# What it was made from; and what is in the columns of rows, and of the samples of PhraseCut+.
SOURCES = (
    "Wu, Lin, Cohen, Bui, Maji: *PhraseCut: Language-based Image Segmentation in the Wild*, CVPR 2020",
    "Lüddecke, Ecker: *Image Segmentation Using Text and Image Prompts*, CVPR 2022 (PhraseCut+)",
    "Krishna et al.: *Visual Genome*, IJCV 2017",
)
COLUMNS = {
    "image": "the picture",
    "image_id": "its name where it comes from",
    "height": "in pixels",
    "width": "in pixels",
    "phrases": "each `phrase_id`, `phrase`, its `name`, `attributes` and `relations`, `boxes` (x, y, width, height) of "
    "the instances, `mask` of all of them, pixels to `ignore` if there are any, `told_by` (what tells it from others: "
    "its name, an attribute, a relation)",
    "phrase_id": "of the phrase of this image, also where a negative took its place",
    "phrase": "what is asked",
    "prompt": "the phrase in its template",
    "negative": "whether the phrase is not true of the image",
    "mask": "what the phrase names; empty for a negative",
    "support_image": "another picture that shows the phrase, if there is one",
    "support_image_id": "its name",
    "support_phrase_id": "of the phrase there",
    "support_mask": "what the phrase names there",
}


def phrasecut_card(data: datasets.Dataset | datasets.DatasetDict, repo_id: str, config_name: str = "images") -> str:
    """The card of a data set that `PhraseCutPlus` built: what is in it, how it was made, whose it is.

    Args:
        data: The rows, or several splits of them.
        repo_id: Where it will be on the Hub.
        config_name: "images" or "plus".
    """
    splits = splits_of(data)
    first = next(iter(splits.values()))
    return _CARD.format(
        title=TITLES[config_name],
        what=WHAT[config_name],
        repo_id=repo_id,
        config_name=config_name,
        split=next(iter(splits)),
        columns="\n".join(f"| `{column}` | {COLUMNS[column]} |" for column in first.features),
        splits="\n".join(f"| {split} | {len(rows):,} |" for split, rows in splits.items()),
        version=__version__,
        summary=_code_block(first.info.description.partition("\n\n")[2]),
        license=PHRASECUT_LICENSE,
        sources="\n".join(f"- {source}" for source in SOURCES),
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


def _code_block(text: str) -> str:
    return f"```\n{text}\n```" if text else ""
