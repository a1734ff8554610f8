"""Short digests that tell whether data has changed since it was last read."""

import hashlib
import os
from pathlib import Path


def digest(*parts: str) -> str:
    """16 hexadecimal digits that stand for these texts, the same in every process and release."""
    return digest_bytes(b"", *parts)


def digest_bytes(content: bytes, *parts: str) -> str:
    """16 hexadecimal digits that stand for some bytes, and for these texts."""
    state = hashlib.blake2b(content, digest_size=8)
    for part in parts:
        state.update(f"{len(part)}:{part}".encode())
    return state.hexdigest()


def digest_file(path: str | os.PathLike) -> str:
    """16 hexadecimal digits that stand for a file's content (about 0.6 s for 344 MB)."""
    state = hashlib.blake2b(digest_size=8)
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            state.update(piece)
    return state.hexdigest()
