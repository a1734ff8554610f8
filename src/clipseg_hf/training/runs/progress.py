"""What a run tells: a progress bar, lines of JSON, Accelerate's trackers, pictures."""

import json
import logging
from pathlib import Path

import numpy as np
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from PIL import Image
from tqdm.auto import tqdm

from clipseg_hf.console.values import closest

logger = logging.getLogger(__name__)

LOG_FILE, PICTURES = "log.jsonl", "pictures"


def choose_trackers(names: tuple[str, ...]) -> list[str]:
    """The trackers among `names` that are installed; a warning for the others.

    Raises:
        ValueError: Accelerate knows no such tracker.
    """
    from accelerate.tracking import get_available_trackers

    known = list(LOGGER_TYPE_TO_CLASS)
    for name in names:
        if name not in known:
            raise ValueError(f"report_to takes {', '.join(known)}; got {name!r}.{closest(name, known)}")
    available = [str(getattr(tracker, "value", tracker)) for tracker in get_available_trackers()]
    missing = [name for name in names if name not in available]
    if missing:
        logger.warning("Not installed, so nothing is reported to it: %s (pip install it).", ", ".join(missing))
    return [name for name in names if name in available]


class Report:
    """Tells what happens, from the main process.

    Args:
        accelerator: for its trackers.
        output: the run's folder.
        name: of the run, in the trackers.
        recipe: its settings as plain values, for the trackers.
        step, max_steps: steps done before, and at the end; later lines of an earlier try are dropped from the log file.
        quiet: no progress bar.
    """

    def __init__(
        self, accelerator, output: Path, name: str, recipe: dict, step: int, max_steps: int, quiet: bool = False
    ):
        self.accelerator = accelerator
        self.log_file, self.pictures = output / LOG_FILE, output / PICTURES
        main = accelerator.is_main_process
        if main:
            self._drop_lines_after(step)
        if accelerator.log_with:
            settings = {k: v if isinstance(v, (int, float, str, bool)) else str(v) for k, v in recipe.items()}
            accelerator.init_trackers(name, config=settings)
        self.bar = tqdm(
            total=max_steps,
            initial=step,
            desc="training",
            unit="step",
            disable=quiet or not main,
            dynamic_ncols=True,
        )

    def progress(self, loss: float, prompts_per_second: float, learning_rate: float) -> None:
        """One step more."""
        self.bar.update()
        self.bar.set_postfix_str(f"loss {loss:.4f}, {prompts_per_second:.1f} prompts/s, lr {learning_rate:.2e}", False)

    def numbers(self, step: int, **values) -> None:
        """Named numbers that belong to a step: to the log file and the trackers."""
        if self.accelerator.is_main_process:
            with open(self.log_file, "a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": step, **values}) + "\n")
        if self.accelerator.log_with:
            self.accelerator.log(values, step=step)

    def say(self, text: str) -> None:
        """A line above the progress bar."""
        if self.accelerator.is_main_process:
            self.bar.write(text)

    def picture(self, step: int, picture: np.ndarray) -> None:
        """An (H, W, 3) uint8 picture: to a file, and to those trackers that take pictures."""
        self.pictures.mkdir(exist_ok=True)
        Image.fromarray(picture).save(self.pictures / f"step-{step:06d}.png")
        for tracker in self.accelerator.trackers:
            if hasattr(tracker, "log_images"):
                layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
                tracker.log_images({"validation": picture[None]}, step=step, **layout)

    def close(self) -> None:
        self.bar.close()
        self.accelerator.end_training()

    def _drop_lines_after(self, step: int) -> None:
        if not self.log_file.exists():
            return
        lines = []
        for line in self.log_file.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    lines.append(line + "\n")
            except ValueError:  # half a line, written as the process was killed
                continue
        aside = self.log_file.with_suffix(".writing")
        aside.write_text("".join(lines), encoding="utf-8")
        aside.replace(self.log_file)
