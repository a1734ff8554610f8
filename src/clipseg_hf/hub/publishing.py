"""A trained checkpoint on the Hub, with a card: what `clipseg-hf publish` does."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clipseg_hf._counted import counted
from clipseg_hf.hub.origins import RECORDS, Release
from clipseg_hf.hub.remote_code import CUSTOM_PIPELINE
from clipseg_hf.hub.staging import EVAL_RESULTS, EVALUATION, Checkpoint, stage_checkpoint
from clipseg_hf.hub.uploading import Upload, open_place, upload_folder
from clipseg_hf.modeling.checkpoints.beside import ALL_BESIDE

# What an earlier publication may have left, and this one has not: weights of the other kind would contradict these.
REPLACED = ("model*.safetensors*", "decoder.safetensors", "pytorch_model*.bin*")
REPLACED += (
    *(part.file for part in ALL_BESIDE),
    *RECORDS,
    EVAL_RESULTS,
    f"{EVALUATION}/*",
    "samples/*",
    "onnx/*",
    CUSTOM_PIPELINE,
    "handler.py",
    "preprocessor_config.json",
)


def publish_checkpoint(
    source: str | PathLike | tuple,
    repo_id: str,
    *,
    license: str,
    data_license: str,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    dry_run_to: str | PathLike | None = None,
    echo: Callable[[str], None] = print,
    **details: Any,
) -> Upload | None:
    """Publish a checkpoint by one commit: weights, configuration, card, recipe, provenance, numbers and samples.

    What is written is loaded anew and compared bit by bit before it goes up, and what arrived is compared by the Hub's
    hashes. The token is the one that huggingface_hub finds.

    Args:
        source: folder of a checkpoint, such as a training's `final`; or (model, processor).
        repo_id: "account/name"; made if need be.
        license: of the weights, by the Hub's identifier.
        data_license: of the data that they were trained on.
        private: make the repository so that nobody else sees it.
        revision: a branch, made if need be; None: the main one.
        create_pr: offer it as a pull request.
        dry_run_to: a new folder: write what would go up into it, and upload nothing. No network is needed.
        echo: takes each line of the report.
        details: the other attributes of `Release` (`decoder_only`, `prompts`, `samples`, `reports`, ...).

    Returns:
        what was published; None for a dry run.

    Raises:
        PublishedMeanwhile: somebody else has published there since this began.
        ValueError, OSError, HfHubHTTPError: see `stage_checkpoint`, `open_place` and `upload_folder`.
    """
    lists = {name: tuple(value) for name, value in details.items() if isinstance(value, list)}
    release = Release(repo_id, license, data_license, **details | lists)
    if dry_run_to is not None:
        names = stage_checkpoint(_load(source), release, dry_run_to, offline=True)
        echo(f"{counted(len(names), 'file')} would go up to {repo_id}: {', '.join(names)}.")
        return None
    place = open_place(repo_id, private=private, revision=revision, create_pr=create_pr)
    with TemporaryDirectory() as folder:
        stage_checkpoint(_load(source), release, folder)
        upload = upload_folder(Path(folder), place, "Publish the checkpoint", REPLACED)
    echo(f"{counted(len(upload.files), 'file')} are at {upload.url} (commit {upload.commit[:7]}).")
    return upload


def _load(source: str | PathLike | tuple) -> Checkpoint:
    return Checkpoint.from_memory(*source) if isinstance(source, tuple) else Checkpoint.load(source)
