"""Draws docs/card.png: the head of the page that `clipseg-hf publish` makes of `emoji-tiny`, as a browser shows it.

    python examples/draw_model_card.py docs/card.png

Needs `pip install markdown` and Chromium.
"""

import argparse
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import markdown
import yaml
from PIL import Image

from clipseg_hf.hub import publish_checkpoint

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><style>
body {{ margin: 0; padding: 28px 40px; width: 800px; font: 16px/1.55 "DejaVu Sans", sans-serif; color: #1f2430; }}
h1 {{ font-size: 26px; margin: 14px 0; }} h2 {{ font-size: 20px; border-bottom: 1px solid #dde; padding-bottom: 6px; }}
img {{ height: 190px; border-radius: 6px; margin-right: 8px; }} a {{ color: #2855c5; text-decoration: none; }}
pre {{ background: #f4f5f9; border-radius: 6px; padding: 12px 14px; font-size: 13px; overflow: hidden; }}
code {{ font-family: "DejaVu Sans Mono", monospace; background: #f4f5f9; font-size: 13px; }}
.chip {{ display: inline-block; border: 1px solid #ccd; border-radius: 12px; padding: 1px 11px; font-size: 13px; }}
.chip {{ margin: 0 6px 6px 0; }}
</style><body>{chips}{body}</body></html>"""


def render(text: str) -> str:
    """A card -> the HTML of its page; its metadata as the labels that the Hub shows."""
    _, head, body = text.split("---\n", 2)
    data = yaml.safe_load(head)
    labels = [data["pipeline_tag"], data["library_name"], *data["tags"], f"license: {data['license']}"]
    chips = "".join(f'<span class="chip">{label}</span>' for label in labels)
    return PAGE.format(chips=chips, body=markdown.markdown(body, extensions=["tables", "fenced_code"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--browser", default="chromium")
    arguments = parser.parse_args()
    with TemporaryDirectory() as place:
        folder = Path(place) / "card"
        publish_checkpoint(
            "emoji-tiny",
            "me/emoji-tiny",
            license="mit",
            data_license="OFL-1.1",
            dry_run_to=folder,
            prompts=["dog", "fox"],
        )
        page, shot = folder / "page.html", Path(place) / "shot.png"
        page.write_text(render((folder / "README.md").read_text(encoding="utf-8")), encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=880,800", f"--screenshot={shot}"]
        subprocess.run([arguments.browser, *options, page.as_uri()], check=True, capture_output=True)
        Image.open(shot).convert("RGB").quantize(128).save(arguments.output, optimize=True)


if __name__ == "__main__":
    main()
