"""The page as a Space: three files that the Hub's Gradio runs."""

import os
from importlib.metadata import version
from pathlib import Path

import yaml

from clipseg_hf._output_files import new_folder
from clipseg_hf._version import __version__

SPACE_SDK = "6.31.0"  # where no Gradio is installed, the one that the tests run with
_APP = '''"""Segment pictures by words and examples; see https://huggingface.co/{link}."""

from clipseg_hf.app import serve

if __name__ == "__main__":
    serve({model!r})
'''


def write_space(
    folder: str | os.PathLike,
    model: str,
    *,
    title: str = "CLIPSeg",
    license: str | None = None,
    package: str = f"clipseg-hf[app]=={__version__}",
) -> list[Path]:
    """Write `app.py`, `requirements.txt` and a `README.md` with the Space's settings.

    Args:
        folder: a new or empty one; made if need be.
        model: name on the Hub, or "emoji-tiny".
        title: of the Space.
        license: an identifier, such as "mit"; of the page, the model has its own.
        package: how pip finds this package.

    Returns:
        the files.

    Raises:
        FileExistsError: the folder holds something.
        ValueError: the model is a folder here, which a Space cannot see.
    """
    folder = Path(folder)
    if Path(model).is_dir() or os.path.isabs(model) or model.count("/") > 1:
        raise ValueError(
            f"A Space loads its model from the Hub, but {model} is a folder: publish it (`clipseg-hf publish`) and "
            "give its name there, account/name."
        )
    is_on_hub = "/" in model
    settings = {
        "title": title,
        "emoji": "✂️",
        "colorFrom": "indigo",
        "colorTo": "pink",
        "sdk": "gradio",
        "sdk_version": _gradio_version(),
        "app_file": "app.py",
        "short_description": "Masks by words, examples, or both",
        "models": [model] if is_on_hub else None,
        "license": license,
    }
    header = yaml.safe_dump(
        {name: value for name, value in settings.items() if value is not None}, sort_keys=False, allow_unicode=True
    )
    texts = {
        "app.py": _APP.format(model=model, link=model if is_on_hub else "docs/transformers/model_doc/clipseg"),
        "requirements.txt": f"{package}\n",
        "README.md": f"---\n{header}---\n\n# {title}\n\nA picture and words in, masks out; model: {model}. Made by "
        "clipseg-hf.\n",
    }
    with new_folder(folder, "a Space is written into a new or empty folder"):
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _gradio_version() -> str:
    try:
        return version("gradio")
    except ImportError:  # PackageNotFoundError is one
        return SPACE_SDK
