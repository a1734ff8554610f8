"""Two reports side by side, as files and as the program `clipseg-hf compare`."""

import json
import subprocess
import sys

import pytest

from clipseg_hf.evaluation import compare_reports


def write_samples(folder, ious, fingerprint="same", prompt="text", example=None):
    """A report on images with one phrase each, with IoUs in percent."""
    folder.mkdir()
    lines = [
        {
            "prompt": prompt,
            "image_id": str(n),
            "phrase_id": f"{n}__0",
            "subsets": ["even"] if n % 2 == 0 else [],
            "example": example,
            "intersection_0.5": iou,
            "union_0.5": 100,
        }
        for n, iou in enumerate(ious)
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "report.json").write_text(json.dumps({"data": {"name": "pictures", "fingerprint": fingerprint}}))
    return folder


def test_the_program_by_hand(tmp_path):
    first = write_samples(tmp_path / "first", [10, 50, 70, 20])
    second = write_samples(tmp_path / "second", [20, 60, 80, 30])
    command = [sys.executable, "-m", "clipseg_hf.cli", "compare", first, second, "--resamples", "200"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"mIoU @0.5, from {first} to {second}:\n\n"
        "| prompt | samples | images | first | second | difference | 95 % interval | |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | :---: | --- |\n"
        "| text | 4 | 4 | 37.5 | 47.5 | +10.0 | +10.0 ... +10.0 | second is better |\n"
    )


def test_verdicts_metrics_and_subsets(tmp_path):
    first = write_samples(tmp_path / "first", [10, 50, 70, 20])
    worse = write_samples(tmp_path / "worse", [5, 40, 60, 10])
    mixed = write_samples(tmp_path / "mixed", [30, 30, 90, 0])
    assert "first is better" in compare_reports(first, worse)
    assert "| 0.0 " not in compare_reports(first, mixed) and "may be chance" in compare_reports(first, mixed)
    table = compare_reports(first, mixed, metric="iou_fg", subset="even", confidence=0.9, resamples=50)
    assert table.startswith("IoU FG @0.5 of 'even', from ") and "90 % interval" in table
    assert "| text | 2 | 2 | 40.0 | 60.0 | +20.0 | +20.0 ... +20.0 | second is better |" in table


def test_what_cannot_be_compared_is_named(tmp_path):
    first = write_samples(tmp_path / "first", [10, 50])
    with pytest.raises(FileNotFoundError, match=r"samples\.jsonl is missing"):
        compare_reports(first, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"of different data: .*first of pictures \(same\), .*other of pictures"):
        compare_reports(first, write_samples(tmp_path / "other", [10, 50], fingerprint="changed"))
    with pytest.raises(ValueError, match=r"first was asked by text, .*second by image"):
        compare_reports(first, write_samples(tmp_path / "second", [10, 50], prompt="image"))
    with pytest.raises(ValueError, match="Neither report was asked by 'mix'; both were by text"):
        compare_reports(first, first, "mix")
    with pytest.raises(ValueError, match="one of miou, iou_fg, got 'ap'"):
        compare_reports(first, first, metric="ap")
    shown = [write_samples(tmp_path / f"shown{n}", [10, 50], prompt="image", example=[n, 0]) for n in (1, 2)]
    with pytest.raises(ValueError, match="2 of 2 samples were shown another example by 'image', such as '0__0'"):
        compare_reports(*shown)
