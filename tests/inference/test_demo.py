"""The demo measures, quotes and draws, from the embedded files alone."""

from PIL import Image

from clipseg_hf.inference.demo import format_numbers, run_demo


def test_demo_prints_numbers_and_draws_a_poster(tmp_path):
    lines = []
    figure = run_demo(tmp_path / "new" / "folder", echo=lines.append)
    text = "\n".join(lines)
    assert "24 scenes" in text
    assert text.count("example image ") >= 2  # of the shipped scenes, and of the full measurement
    assert str(figure) in text
    picture = Image.open(figure)
    assert picture.width >= 1200
    assert len(picture.convert("RGB").resize((64, 64)).getcolors(4096)) > 500  # it is not blank


def test_numbers_are_rounded_and_lined_up():
    values = {"seen": 0.7654, "unseen": 0.5, "seen_0.3": 0.25, "unseen_0.3": 0.0, "auroc": 1.0, "samples": 12}
    _, head, row = format_numbers({"text": values}).splitlines()
    assert len(head) == len(row)
    assert row.split() == ["text", "0.765", "0.500", "0.250", "0.000", "1.000", "12"]
