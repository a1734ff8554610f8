"""The mean of decoders that went on from the same one."""

import runpy
from pathlib import Path

import pytest
import torch

from clipseg_hf import CLIPSegForImageSegmentation, CLIPSegProcessor
from clipseg_hf.assets import EMOJI_TINY
from clipseg_hf.training.runs.provenance import fingerprint_weights

average = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "average_checkpoints.py"))["average"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two folders with emoji-tiny, and its decoder and what stands beside it moved by 1 and by 3."""
    folders = []
    for step in (1.0, 3.0):
        folder = tmp_path_factory.mktemp("trained") / "final"
        model = CLIPSegForImageSegmentation.from_pretrained(EMOJI_TINY)
        with torch.no_grad():
            for name, value in model.named_parameters():
                if not name.startswith("clip."):
                    value += step
        model.save_pretrained(folder)
        CLIPSegProcessor.from_pretrained(EMOJI_TINY).save_pretrained(folder)
        for name in ("recipe.yaml", "provenance.json"):
            (folder / name).write_text(f"of step {step}")
        folders.append(folder)
    return folders


def test_the_mean_is_a_checkpoint(trained, tmp_path):
    average(trained, tmp_path / "mean")
    models = [CLIPSegForImageSegmentation.from_pretrained(folder) for folder in (EMOJI_TINY, tmp_path / "mean")]
    start, mean = (model.state_dict() for model in models)
    assert mean.keys() == start.keys() and any(name.startswith("prompt_tokens") or "refiner" in name for name in mean)
    for name, value in start.items():
        moved = value if name.startswith("clip.") or not value.is_floating_point() else value + 2
        torch.testing.assert_close(mean[name], moved, rtol=0, atol=1e-5, msg=name)
    processor = CLIPSegProcessor.from_pretrained(tmp_path / "mean")
    assert processor.mask_thresholds == CLIPSegProcessor.from_pretrained(EMOJI_TINY).mask_thresholds
    assert models[1].config.image_prompt_weight == models[0].config.image_prompt_weight != 0.5
    notes = {name: (tmp_path / "mean" / name).read_text() for name in ("recipe.yaml", "provenance-2.json")}
    assert notes == {"recipe.yaml": "of step 1.0", "provenance-2.json": "of step 3.0"}


def test_an_average_goes_into_another_with_the_recipes_of_all_its_parts(trained, tmp_path):
    average(trained, tmp_path / "mean")
    average([trained[1], tmp_path / "mean", trained[1]], tmp_path / "again")
    names = ("recipe.yaml", "recipe-2.yaml", "recipe-3.yaml", "recipe-4.yaml")
    recipes = [(tmp_path / "again" / name).read_text() for name in names]
    assert recipes == ["of step 3.0", "of step 1.0", "of step 3.0", "of step 3.0"]


def test_what_is_the_same_in_all_stays_so_to_the_last_bit(trained, tmp_path):
    """Of three, a mean of -0.0 is 0.0; caches of CLIP's activations know it by a hash of its bits."""
    model = CLIPSegForImageSegmentation.from_pretrained(trained[0])
    with torch.no_grad():
        model.clip.visual_projection.weight[0, 0] = -0.0
    for number in range(3):
        model.save_pretrained(tmp_path / str(number))
        CLIPSegProcessor.from_pretrained(trained[0]).save_pretrained(tmp_path / str(number))
    average([tmp_path / str(number) for number in range(3)], tmp_path / "mean")
    mean = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "mean")
    assert fingerprint_weights(mean) == fingerprint_weights(model)


def test_what_cannot_be_averaged(trained, tmp_path):
    with pytest.raises(FileExistsError, match="is there already: name a new folder"):
        average(trained, tmp_path)
    with pytest.raises(ValueError, match="two checkpoints or more, got 1"):
        average(trained[:1], tmp_path / "mean")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*nowhere; a training leaves one in its `final`"):
        average([trained[0], tmp_path / "nowhere"], tmp_path / "mean")
    alone = tmp_path / "alone"
    CLIPSegForImageSegmentation.from_pretrained(EMOJI_TINY, refiner=None).save_pretrained(alone)
    with pytest.raises(ValueError, match=r"alone has other weights than .*final: average trainings of one decoder"):
        average([trained[0], alone], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
