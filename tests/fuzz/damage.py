"""Sound files of a case, and what can happen to them: bytes, JSON, names, links, devices."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

OUTSIDE = "secret"
"""A folder beside the case's own, with a file of each kind; nothing in it is for the reader."""

_PLACEHOLDERS = {"@huge": "9" * 5000, "@deep": "[" * 100_000 + "]" * 100_000, "@nested": "[" * 600 + "]" * 600}
ODD = (
    *(None, True, False, 0, 1, -1, 2, 1.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**30, 10**400),
    *("", " ", "x", "0", "1", "-1", "nan", "..", "\0", "\ud800", "\u202e", "é" * 300, "{}", "a/b", "\\", "C:\\x", "."),
    *(f"../{OUTSIDE}/1.png", f"../../{OUTSIDE}/1.png", "/etc/hostname", "/dev/zero", "@outside", "@huge", "@deep"),
    *("@nested", [], {}, [[]], [None], [{}], {"": None}, {"x": [1]}, [1, 2], [0.5] * 6, ["a"], [[1, 2], [3]]),
)
_NAMES = ("..", "é.png", "a\nb.jpg", "\udcff.png", "-x", "1.PNG", "images", "x" * 200, " ", "metadata.csv", "a.json")
_LINKS = (".", "..", "../..", "itself", "@outside", "@outside/1.png", "/dev/zero", "/nowhere", "/dev/full")


class Again(str):
    """A key that a JSON object may hold twice."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Pipe:
    """A named pipe, which nobody writes to."""


@dataclass
class Case:
    """Files by name, and what was done to them; only that is told of a case that fails."""

    files: dict[str, Any]
    changes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Case({'; '.join(self.changes)})"

    def plant(self, root: Path) -> Path:
        """Write the files anew into `root/case`, beside the folder that is not theirs."""
        folder = root / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # links last: nothing is to be written through one
        for name, content in sorted(self.files.items(), key=lambda item: isinstance(item[1], Link)):
            path = folder / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, Link):
                    target = path.name if content.target == "itself" else content.target
                    path.symlink_to(target.replace("@outside", f"{root}/{OUTSIDE}"))
                elif isinstance(content, Pipe):
                    os.mkfifo(path)
                else:
                    path.write_bytes(content.replace(b"@outside", os.fsencode(root / OUTSIDE)))
            except (OSError, ValueError):
                continue  # a name that this disk does not take, or that is taken
        return folder


@st.composite
def broken(draw: st.DrawFn, seeds: Mapping[str, Mapping[str, bytes]], links: bool = True) -> Case:
    """One of some sound cases, with one to three things done to it."""
    chosen = draw(st.sampled_from(sorted(seeds)))
    case = Case(dict(seeds[chosen]), [chosen])
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(case.files)))
        content = case.files[name]
        if not isinstance(content, bytes):
            continue
        ways = ["bytes", "bytes", "name"] + ["link"] * links
        if name.endswith((".json", ".jsonl", ".yaml")):
            ways += ["json"] * 8
        way = draw(st.sampled_from(ways))
        if way == "json":
            case.files[name], change = draw(broken_json(content))
        elif way == "bytes":
            case.files[name], change = draw(broken_bytes(content))
        elif way == "link":
            case.files[name] = draw(st.sampled_from([Pipe(), *map(Link, _LINKS)]))
            change = repr(case.files[name])
        else:
            change = draw(_renamed(case, name))
        case.changes.append(f"{name}: {change}")
    return case


@st.composite
def _renamed(draw: st.DrawFn, case: Case, name: str) -> str:
    folder = draw(st.sampled_from([os.path.dirname(name), "", "sub"]))
    other = os.path.join(folder, draw(st.sampled_from([*_NAMES, os.path.basename(name)])))
    way = draw(st.sampled_from(["moved to", "copied to", "gone", "a folder"]))
    if way == "a folder":
        case.files[f"{name}/x"] = case.files.pop(name)
    elif way == "gone":
        del case.files[name]
        case.files["left"] = b""  # never without any
    else:
        case.files[other] = case.files[name] if way == "copied to" else case.files.pop(name)
        way += f" {other!r}"
    return way


@st.composite
def broken_bytes(draw: st.DrawFn, content: bytes) -> tuple[bytes, str]:
    """Bytes changed, cut off, put in, doubled; most often near the beginning, where formats say what they are."""
    size = len(content)
    place = draw(st.integers(0, max(0, size - 1)) | st.integers(0, min(64, max(0, size - 1))))
    way = draw(st.sampled_from(["set", "set", "set", "cut", "insert", "repeat", "drop", "empty"]))
    if way == "set":
        new = draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"\xff" * 4, b"\0" * 8, b"\x7f\xff\xff\xff"]))
        return content[:place] + new + content[place + len(new) :], f"bytes {place} set to {new!r}"
    if way == "insert":
        new = draw(
            st.binary(min_size=1, max_size=8)
            | st.sampled_from([b"\xef\xbb\xbf", b"\0", b"\xff\xfe", b"\n", b"9" * 5000, b'"', b"[" * 5000, b"&a [*a]"])
        )
        return content[:place] + new + content[place:], f"bytes {place} put in {new!r}"
    if way == "cut":
        return content[:place], f"cut at {place}"
    if way == "repeat":
        return content[:place] * 2 + content[place:], f"first {place} bytes twice"
    if way == "drop":
        end = min(size, place + draw(st.integers(1, 200)))
        return content[:place] + content[end:], f"bytes {place} to {end} gone"
    return b"", "empty"


@st.composite
def broken_json(draw: st.DrawFn, content: bytes) -> tuple[bytes, str]:
    """A value of a JSON text, or of one of its lines, changed, deleted, doubled or under another name."""
    text = content.decode("utf-8", "surrogateescape")
    lines = _parse(text)
    if not lines:
        return draw(broken_bytes(content))
    top = {"": lines}
    container, key, path = draw(st.sampled_from(list(_places(top))))
    way = draw(st.sampled_from(["set", "set", "set", "gone", "twice", "wrapped", "renamed", "appended"]))
    old = container[key]
    value = draw(st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=4))
    change = f"{path} {way} {_short(value)}"
    if way == "gone":
        del container[key]
    elif way == "twice" and isinstance(container, dict):
        container[Again(key)] = value
    elif way == "twice":
        container.append(old)
    elif way == "wrapped":
        container[key] = draw(st.sampled_from([[old], {"x": old}, [old, old], [[old]]]))
        change = f"{path} set to {_short(container[key])}"
    elif way == "renamed" and isinstance(container, dict):
        container[draw(st.sampled_from(["x", "", "..", "id", str(key).upper()]))] = container.pop(key)
    elif way == "appended" and isinstance(old, list):
        old.append(value)
    elif way == "appended" and isinstance(old, dict):
        old[str(value)] = value
    else:
        container[key] = value
    lines = top.get("", [])
    result = "\n".join(_dump(line) for line in lines) if isinstance(lines, list) else _dump(lines)
    return result.encode("utf-8", "surrogatepass"), change


def _parse(text: str) -> list:
    """One value, or that of each line; none where nothing reads it."""
    for read in (
        lambda: [json.loads(text)],
        lambda: [json.loads(line) for line in text.splitlines() if line.strip()],
        lambda: [yaml.safe_load(text)],
    ):
        try:
            return read()
        except (ValueError, RecursionError, yaml.YAMLError):
            continue
    return []


def _places(value: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:
    """All (container, key, path) of a value, as deep as sound files are."""
    if path.count("/") > 20:
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        here = f"{path}/{key}" if path or key != "" else "/"
        if here != "/":
            yield value, key, here
        yield from _places(inner, here.rstrip("/"))


def _dump(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    for name, replacement in _PLACEHOLDERS.items():
        text = text.replace(f'"{name}"', replacement)
    return text


def _short(value: Any) -> str:
    text = ascii(value) if not isinstance(value, int) or abs(value) < 10**40 else "an integer of many digits"
    return text if len(text) < 60 else f"{text[:60]}..."
