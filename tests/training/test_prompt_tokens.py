"""A decoder that attends to prompts' tokens is trained by the same loop, and goes on from where a run was cut."""

import pytest
from safetensors.torch import load_file

from clipseg_hf.training import train


@pytest.mark.parametrize("kept", [False, True], ids=["encoded", "kept"])
def test_a_run_that_is_cut_off_ends_in_the_same_bits(make_args, rows, tmp_path, without_its_end, kept):
    fields = {"crop": False, "cache_prompts": kept, "cache_features": kept}
    args = make_args(prompt_tokens={"text": 4, "image": 4}, support_probability=1.0, **fields)
    whole = train(args, train_rows=rows)
    cut = without_its_end(tmp_path / "run", 4)
    resumed = train(args.replace(output_dir=str(cut)), train_rows=rows)
    assert resumed.state.step == 4
    name = "model.safetensors"
    assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    before = load_file(tmp_path / "run" / "checkpoint-000002" / "decoder.safetensors")
    after = load_file(whole.folder / name)
    learned = [name for name in before if ".attends." in name and name.endswith("weight")]
    assert len(learned) == 10 and all((after[name] != before[name]).any() for name in learned)  # in two blocks
