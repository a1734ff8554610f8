"""The page of what a run is least sure of."""

import base64
import io
import re

import pytest
from PIL import Image

from clipseg_hf.labelling import label_pictures, read_rows
from clipseg_hf.labelling.review import sureness
from labelling.conftest import PROMPTS


def test_sureness_by_hand():
    row = {"presence_threshold": 0.6, "threshold": 0.5, "presence": 0.3, "is_present": False, "score": 0.9}
    assert sureness(row) == pytest.approx(0.5)  # half of the way from 0.6 to 0
    row |= {"presence": 0.9, "is_present": True}
    assert sureness(row) == pytest.approx(0.75)  # of the way from 0.6 to 1; its score is as far as 0.8
    assert sureness(row | {"score": 0.6}) == pytest.approx(0.2)
    assert sureness(row | {"score": 0.0}) == 0  # an empty mask of what is said to be present
    assert sureness(row | {"presence_threshold": 1.0, "presence": 1.0}) == 0


def test_the_least_sure_are_on_a_page_of_its_own(pictures, tmp_path, checkpoint):
    (pictures / "0.png").rename(pictures / "<b>&.png")
    prompts = [*PROMPTS, '"<i>"']
    run = label_pictures(pictures, prompts, tmp_path / "out", model=checkpoint, device="cpu", review=10)
    page = run.review.read_text(encoding="utf-8")
    rows = sorted((row for row in read_rows(run.folder) if row["error"] is None), key=sureness)
    shown = re.findall(r"<b>(.*?)</b>: (\w+)<span>sure (\S+),.*?</span><span>(.*?)</span>", page)
    escaped = {"<b>&.png": "&lt;b&gt;&amp;.png", "<i>": "&lt;i&gt;"}
    assert shown == [
        (
            escaped.get(row["label"], row["label"]),
            "present" if row["is_present"] else "absent",
            f"{sureness(row):.2f}",
            escaped.get(row["image"], row["image"]),
        )
        for row in rows[:10]
    ]
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 10 and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    sizes = {Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).size for source in sources}
    assert sizes <= {(80, 60), (40, 50)}
    assert not re.search(r"https?:|<script|<link|url\(", page)
    present = sum(row["is_present"] for row in rows if row["label"] == "a cat")
    assert f"a cat</td><td>{present} of 6</td>" in page
    with pytest.raises(ValueError, match="review is a number of labels to look at, 0 for none; got -1"):
        label_pictures(pictures, prompts, tmp_path / "out", model=checkpoint, review=-1)
