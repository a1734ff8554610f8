"""The demo measures, quotes and draws, from the embedded files alone."""

from PIL import Image

from clipseg_hf.data.rows.row_phrases import phrase_mask
from clipseg_hf.inference import Segmenter
from clipseg_hf.inference.demo import format_numbers, load_scenes, rank_phrases, run_demo


def test_demo_prints_numbers_and_draws_a_poster(tmp_path):
    lines = []
    figure = run_demo(tmp_path / "new" / "folder", echo=lines.append)
    text = "\n".join(lines)
    assert "24 scenes" in text
    assert text.count("  example image ") == 5  # of the shipped scenes in two ways, of the full measurement in three
    refined, base = [float(line.split()[1]) for line in text.splitlines() if line.split()[:1] == ["text"]][:2]
    assert refined > base + 0.03
    assert str(figure) in text
    picture = Image.open(figure)
    assert picture.width >= 1200
    assert len(picture.convert("RGB").resize((64, 64)).getcolors(4096)) > 500  # it is not blank


def test_numbers_are_rounded_and_lined_up():
    values = {"seen": 0.7654, "unseen": 0.5, "seen_0.3": 0.25, "unseen_0.3": 0.0, "auroc": 1.0, "samples": 12}
    _, head, row = format_numbers({"text": values}).splitlines()
    assert len(head) == len(row)
    assert row.split() == ["text", "0.765", "0.500", "0.250", "0.000", "1.000", "12"]


def test_phrases_are_ranked_by_how_well_they_are_found():
    scenes = dict(list(load_scenes().items())[:2])
    ranked = rank_phrases(Segmenter.from_pretrained("emoji-tiny", device="cpu"), scenes)
    assert len(ranked) == len({(phrase, id(result)) for _, phrase, result, _ in ranked}) > 4
    assert [entry[0] for entry in ranked] == sorted(entry[0] for entry in ranked) and ranked[-1][0] > 0.5
    iou, phrase, result, number = ranked[-1]
    row = next(row for row in scenes.values() if result.image.size == row["image"].size and phrase in str(row))
    truth = phrase_mask(row["phrases"], [entry["phrase"] for entry in row["phrases"]].index(phrase))
    assert result.labels[number] == phrase
    assert iou == (truth & result.masks[number]).sum() / (truth | result.masks[number]).sum()
