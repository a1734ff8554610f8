"""The example: a picture of the visitor's that is brushed over in the browser, and what comes of it to the server."""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from clipseg_hf.app.words import WORDS, PageError

SIDE = 800  # pixels; the browser reduces a larger example before it sends it: the model looks at fewer
_WORDS = ("upload_example", "brush_here", "brush_width", "undo", "clear", "remove", "no_picture")


def brush_script() -> str:
    """JavaScript for `gr.HTML(js_on_load=...)`.

    Gradio's own editor needs WebGL, sends photos as PNG files many times their size, and does not always tell of an
    upload; this one sends two small files whenever something has been brushed.
    """
    words = {language: {key: texts[key] for key in _WORDS} for language, texts in WORDS.items()}
    head = f"const WORDS = {json.dumps(words, ensure_ascii=False)}, SIDE = {SIDE};\n"
    return head + (Path(__file__).parent / "brush.js").read_text(encoding="utf-8")


def read_brushed(value: Any) -> tuple[bytes | None, bytes | None]:
    """What the browser sent -> the files of the picture and of what was brushed over it, None where there is none.

    Raises:
        PageError: it is not what the script sends.
    """
    if not value:
        return None, None
    if not isinstance(value, dict):
        raise PageError("no_picture")
    return _content(value.get("picture")), _content(value.get("mask"))


def _content(address: Any) -> bytes | None:
    """The file in a data URL."""
    if address is None:
        return None
    try:
        return base64.b64decode(address.split(";base64,")[1], validate=True)
    except (AttributeError, IndexError, binascii.Error) as error:
        raise PageError("no_picture") from error
