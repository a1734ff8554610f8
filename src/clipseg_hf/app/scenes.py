"""What the page shows before anybody has uploaded anything: shipped scenes, with words that find something in them."""

from pathlib import Path

from clipseg_hf.assets import EMOJI_SCENES

# picked from what emoji-tiny does well; image id -> prompts
_SCENES = {
    "12": "a yellow banana\na robot\nan octopus",
    "5": "laptop | dog",
    "4": "a tomato\na penguin",
    "7": "butterfly\nrocket\nstrawberry | octopus",
    "9": "cat | dog\nguitar",
    "22": "hamburger\nlobster\nsailboat",
}
EXAMPLES = [[str(Path(EMOJI_SCENES) / "images" / f"{image}.jpg"), prompts] for image, prompts in _SCENES.items()]
