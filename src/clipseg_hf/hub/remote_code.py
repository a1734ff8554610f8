"""What goes into a published repository for those who do not have this package: a pipeline, an endpoint's handler."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from clipseg_hf.modeling.checkpoints.decoder_only import DECODER_FILE

REPOSITORY_FILES = Path(__file__).parent / "repository_files"
CUSTOM_PIPELINE = "custom_pipeline.py"


def custom_pipelines() -> dict[str, Any]:
    """`custom_pipelines` of config.json, by which `transformers.pipeline(..., trust_remote_code=True)` finds ours.

    The task is that of the Hub's own snippets, "image-segmentation": transformers takes the checkpoint's pipeline
    in place of its own, which cannot ask CLIPSeg. Were it "prompted-image-segmentation", transformers would want
    `trust_remote_code=True` where this package is at hand and nothing remote is needed.
    """
    entry = {
        "impl": f"{Path(CUSTOM_PIPELINE).stem}.PromptedImageSegmentationPipeline",
        "pt": ["CLIPSegForImageSegmentation"],
        "type": "multimodal",
    }
    return {"image-segmentation": entry}


def add_repository_files(folder: str | os.PathLike) -> list[Path]:
    """Make the folder of a checkpoint work as a repository: copy the files beside it, name the pipeline in config.json.

    A decoder-only checkpoint cannot be loaded without this package, so it gets no pipeline for stock transformers, and
    its requirements.txt asks for clipseg-hf.

    Args:
        folder: of a checkpoint, with its config.json.

    Returns:
        the files that were written, config.json among them.
    """
    folder = Path(folder)
    is_whole = not (folder / DECODER_FILE).exists()
    written = []
    for source in sorted(path for path in REPOSITORY_FILES.iterdir() if path.is_file()):
        if is_whole or source.name != CUSTOM_PIPELINE:
            written.append(folder / source.name)
            shutil.copyfile(source, written[-1])
    written.append(folder / "config.json")
    config = json.loads(written[-1].read_text(encoding="utf-8"))
    config.pop("custom_pipelines", None)  # of the checkpoint that this one was trained from
    config |= {"custom_pipelines": custom_pipelines()} if is_whole else {}
    written[-1].write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if not is_whole:
        with (folder / "requirements.txt").open("a", encoding="utf-8") as file:
            file.write("clipseg-hf\n")
    return written
