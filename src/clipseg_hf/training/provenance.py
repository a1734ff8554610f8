"""Where a checkpoint comes from: versions, revision, fingerprints of the data and of CLIP."""

import hashlib
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = ("clipseg-hf", "torch", "transformers", "accelerate", "datasets", "numpy", "pillow")


def describe_environment() -> dict:
    """Versions of Python and of the packages that matter, and the package's git revision where it has one."""
    return {"python": platform.python_version(), "git_revision": git_revision(), "versions": _versions()}


def _versions() -> dict[str, str | None]:
    found = {dist.metadata["Name"].lower(): dist.version for dist in metadata.distributions() if dist.metadata["Name"]}
    return {name: found.get(name) for name in PACKAGES}


def git_revision(folder: Path = Path(__file__).parent) -> str | None:
    """The commit that a folder is at, with "-dirty" where tracked files differ from it; None outside of git."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def fingerprint_rows(rows) -> str:
    """A hash of what rows say: images' names, phrases and masks. Pixels are not read."""
    digest = hashlib.sha256()
    for row in _words_and_masks(rows):
        phrases = [
            [p["phrase_id"], p["phrase"], p["name"], list(p["mask"]["size"]), p["mask"]["counts"]]
            for p in row["phrases"]
        ]
        digest.update(json.dumps([row["image_id"], phrases]).encode())
    return digest.hexdigest()[:16]


def _words_and_masks(rows):
    if hasattr(rows, "select_columns"):
        rows = rows.select_columns(["image_id", "phrases"]).with_format(None)
        for batch in rows.iter(batch_size=500):
            yield from ({"image_id": i, "phrases": p} for i, p in zip(batch["image_id"], batch["phrases"], strict=True))
    else:
        yield from (rows[i] for i in range(len(rows)))


def fingerprint_weights(module: torch.nn.Module) -> str:
    """A hash of a module's names and weights, bit by bit."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
