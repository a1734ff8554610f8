"""Zip and tar files of sound files, with entries that nobody should unpack."""

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from fuzz.damage import OUTSIDE, Case, broken_bytes

KINDS = ("zip", "tar", "tar.gz", "tar.xz")

_NAMES = ("../1.jpg", f"../{OUTSIDE}/1.jpg", "/1.jpg", "a/../../1.jpg", "images/1.jpg", "images", "", ".", "a\nb", "..")
_NAMES += ("images/9.jpg/", "refer_val.json", "\udcff.jpg", "x" * 300, "C:\\1.jpg", "images\\2.jpg", "a" + "/a" * 500)
_TARGETS = ("..", f"../../{OUTSIDE}", f"../{OUTSIDE}/1.jpg", "/etc/passwd", "1.jpg", ".")
_TYPES = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.REGTYPE, b"?")
_BOMB = bytes(5_000_000)


@st.composite
def broken_archives(draw: st.DrawFn, files: Mapping[str, bytes]) -> Case:
    """An archive of these files, with odd entries among them, its bytes damaged, or both."""
    kind = draw(st.sampled_from(KINDS))
    odd = draw(
        st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_TARGETS), st.sampled_from(_TYPES)), max_size=2)
    )
    content = draw(st.sampled_from([b"x", b"", next(iter(files.values())), _BOMB]))
    data, changes = pack(kind, files, odd, content), [f"{kind} with {odd} of {len(content)} bytes"]
    for _ in range(draw(st.integers(0 if odd else 1, 2))):
        data, change = draw(broken_bytes(data))
        changes.append(change)
    return Case({f"data.{kind}": data}, changes)


def pack(kind: str, files: Mapping[str, bytes], odd: Sequence[tuple] = (), content: bytes = b"") -> bytes:
    """An archive of files, and of odd entries (name, target, type) that hold `content`."""
    stream = io.BytesIO()
    (_write_zip if kind == "zip" else _write_tar)(stream, kind, files, odd, content)
    return stream.getvalue()


def _write_zip(stream: io.BytesIO, kind: str, files: Mapping[str, bytes], odd: Sequence[tuple], content: bytes) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        for name, target, form in odd:
            entry = zipfile.ZipInfo("x")
            entry.filename = name.encode("utf-8", "replace").decode()
            entry.compress_type = zipfile.ZIP_DEFLATED
            if form == tarfile.SYMTYPE:
                entry.external_attr = 0o120777 << 16
                archive.writestr(entry, target)
            else:
                archive.writestr(entry, content)


def _write_tar(stream: io.BytesIO, kind: str, files: Mapping[str, bytes], odd: Sequence[tuple], content: bytes) -> None:
    with tarfile.open(fileobj=stream, mode={"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}[kind]) as archive:
        for name, target, form in odd:  # first, so that what follows may lie behind a link
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = form, target
            entry.size = len(content) if form == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(content) if entry.size else None)
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
