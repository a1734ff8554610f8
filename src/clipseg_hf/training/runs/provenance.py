"""Where a checkpoint comes from: versions, revision, and what CLIP it sits on."""

import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from clipseg_hf.evaluation.reports.report import fingerprint_rows
from clipseg_hf.training.devices.accelerator import device_name

PACKAGES = ("clipseg-hf", "torch", "transformers", "accelerate", "datasets", "numpy", "pillow")


def describe_environment() -> dict:
    """Versions of Python and of the packages that matter, and the package's git revision where it has one."""
    return {"python": platform.python_version(), "git_revision": git_revision(), "versions": _versions()}


def describe_run(accelerator, clip: str, train_rows, validation_rows, *, seed: int, prompts_per_step: int) -> dict:
    """Where a run's models come from: the environment, fingerprints of its data and its CLIP, and what it runs on."""
    return {
        **describe_environment(),
        "seed": seed,
        "train_data": fingerprint_rows(train_rows),
        "validation_data": None if validation_rows is None else fingerprint_rows(validation_rows),
        "clip": clip,
        "processes": accelerator.num_processes,
        "device": device_name(accelerator),
        "mixed_precision": accelerator.mixed_precision,
        "prompts_per_step": prompts_per_step,
    }


def _versions() -> dict[str, str | None]:
    found = {dist.metadata["Name"].lower(): dist.version for dist in metadata.distributions() if dist.metadata["Name"]}
    return {name: found.get(name) for name in PACKAGES}


def git_revision(folder: Path = Path(__file__).parents[2]) -> str | None:
    """The commit that a folder is at, with "-dirty" where tracked files differ from it; None outside of git."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def fingerprint_weights(module: torch.nn.Module) -> str:
    """A hash of a module's names and weights, bit by bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
