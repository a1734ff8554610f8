"""Large pictures: one pass where one is enough, no seams, the same by any backend."""

import numpy as np
import pytest
from PIL import Image

from clipseg_hf.data.emoji_world.emoji_glyphs import GlyphSheet, load_concepts
from clipseg_hf.data.emoji_world.emoji_scenes import SceneSettings, draw_scene
from clipseg_hf.inference import GuidedFilter, Prompt, Segmenter, Tiling
from clipseg_hf.inference.tiling import answering, bands, stitching
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.processing.plain.probabilities import presence_scores, resize_map

PROMPTS = ["a cat", Prompt("a dog") - "a cat"]


@pytest.fixture
def large() -> Image.Image:
    """150 pixels wide, 100 high; the tiny model takes 64 x 64."""
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (100, 150, 3), dtype=np.uint8))


def _tiled(segmenter: Segmenter, guided_filter: GuidedFilter | None = None, **options) -> Segmenter:
    return Segmenter(segmenter.model, segmenter.processor, tiling=Tiling(**options), guided_filter=guided_filter)


def _assert_same(one, other):
    np.testing.assert_array_equal(one.masks, other.masks)
    np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)
    assert one.presence == pytest.approx(other.presence, abs=1e-6)
    assert one.scores == pytest.approx(other.scores, abs=1e-6)
    assert (one.labels, one.kinds, one.thresholds) == (other.labels, other.kinds, other.thresholds)


def test_what_fits_one_tile_is_asked_once(segmenter, picture):
    _assert_same(_tiled(segmenter, tile_size=100)(picture, PROMPTS)[0], segmenter(picture, PROMPTS)[0])


def test_one_tile_beside_another_has_the_numbers_of_a_pass_of_its_own(segmenter, large):
    """Without overlap and prior, each tile is the answer to a crop."""
    result = _tiled(segmenter, tile_size=50, overlap=0, prior_weight=0)(large, PROMPTS)[0]
    for top in (0, 50):
        for left in (0, 50, 100):
            crop = segmenter(large.crop((left, top, left + 50, top + 50)), PROMPTS)[0]
            expected = [resize_map(one.astype(np.float32), (50, 50)) for one in crop.logits]
            found = result.logits[:, top : top + 50, left : left + 50]
            np.testing.assert_allclose(found[0], expected[0], atol=1e-4)  # combinations are made at full size
    assert result.masks.shape == (2, 100, 150)
    assert result.kinds == ["text", "combined"]
    assert result.image.size == (150, 100)


def test_edges_are_followed_in_each_tile(segmenter, large):
    apart = {"tile_size": 50, "overlap": 0}
    plain, edged = (_tiled(segmenter, with_filter, **apart, prior_weight=0) for with_filter in (None, GuidedFilter()))
    result, own = edged(large, PROMPTS)[0], plain(large, PROMPTS)[0]
    alone = Segmenter(segmenter.model, segmenter.processor, guided_filter=GuidedFilter())
    for left in (0, 50, 100):
        crop = alone(large.crop((left, 50, left + 50, 100)), "a cat")[0]
        expected = resize_map(crop.logits[0].astype(np.float32), (50, 50))
        np.testing.assert_allclose(result.logits[0, 50:, left : left + 50], expected, atol=1e-4)
    assert np.abs(result.logits - own.logits).max() > 1e-3
    assert result.presence == own.presence  # of the model's own logits


def test_with_a_filter_the_whole_counts_as_much_as_without():
    """It limits logits; beside those of a tile, the whole's own would outvote them."""
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[16:48, 16:48] = 255

    def decode(pictures):
        for picture in pictures:
            thing = np.asarray(picture)[None, :, :, 0] > 127
            logits = np.full(thing.shape, -30.0) if picture.size == (128, 64) else np.where(thing, 6.0, -6.0)
            yield logits.astype(np.float32)

    picture, tiling = bands.open_bands(Image.fromarray(pixels), "x"), Tiling(64, overlap=0)
    plain, edged = (
        next(stitching.ask_tiles(picture, decode, tiling, (64, 64), with_filter))
        for with_filter in (None, GuidedFilter())
    )
    assert plain.logits[0, 32, 32] == pytest.approx(0.85 * 6 - 0.15 * 30)
    assert plain.presence == edged.presence
    assert ((plain.logits[0] > 0) == pixels[:, :, 0].astype(bool)).all()
    assert ((edged.logits[0] > 0) == (plain.logits[0] > 0)).mean() > 0.99


def test_the_prior_is_the_answer_to_the_whole(segmenter, large):
    tiles, half = (_tiled(segmenter, prior_weight=weight)(large, "a cat")[0].logits[0] for weight in (0, 0.5))
    whole = resize_map(segmenter(large, "a cat")[0].logits[0], (100, 150))
    np.testing.assert_allclose(half, (tiles + whole) / 2, atol=1e-4)


def test_masks_scores_and_presence_belong_together(segmenter, large):
    result = _tiled(segmenter)(large, PROMPTS)[0]
    for number in range(2):
        probabilities = result.probabilities(number)
        np.testing.assert_array_equal(result.masks[number], probabilities > result.thresholds[number])
        assert result.scores[number] == pytest.approx(probabilities[result.masks[number]].mean(), abs=1e-5)
    tiles = [
        result.logits[:1, top : top + 64, left : left + 64] for top in (0, 36) for left in (0, 43, 86)
    ]  # blended, so near the tiles themselves
    assert result.presence[0] == pytest.approx(max(presence_scores(one)[0] for one in tiles), abs=0.1)
    _assert_same(result.clean(), result)
    assert set(np.unique(result.exclusive().label_map)) <= {0, 1, 2}


def test_batches_of_tiles_thresholds_and_streams(segmenter, large, picture):
    by_one, tiled = _tiled(segmenter), _tiled(segmenter)
    tiled.batch_size = 4
    expected = by_one(large, PROMPTS, 0.48)[0]
    assert expected.thresholds == [0.48, 0.5]  # what is combined has one half
    results = list(tiled.stream([large, picture], PROMPTS, 0.48))
    _assert_same(results[0], expected)
    assert [result.masks.shape for result in results] == [(2, 100, 150), (2, 60, 80)]


def test_prompts_are_encoded_once(segmenter, large, monkeypatch):
    asked = []
    encode = type(segmenter.model).get_conditional_embeddings
    monkeypatch.setattr(
        type(segmenter.model), "get_conditional_embeddings", lambda *a, **k: asked.append(1) or encode(*a, **k)
    )
    _tiled(segmenter)(large, PROMPTS)
    assert len(asked) == 1


def test_logits_of_very_large_pictures_are_shrunk(segmenter, large, monkeypatch):
    full = _tiled(segmenter)(large, PROMPTS)[0]
    monkeypatch.setattr(answering, "KEPT_PIXELS", 100 * 150 // 4)
    monkeypatch.setattr(bands, "OVERVIEW_PIXELS", 100 * 150)
    small = _tiled(segmenter)(large, PROMPTS)[0]
    np.testing.assert_array_equal(small.masks, full.masks)
    assert small.logits.shape == (2, 50, 75)
    np.testing.assert_allclose(small.logits[0], full.logits[0].reshape(50, 2, 75, 2).mean((1, 3)), atol=1e-5)
    assert small.probabilities(0).shape == (100, 150)


@pytest.mark.needs_font
def test_no_seams():
    """The step from a tile to the next is as small as that from any patch to the next; without overlap it is not."""
    tile = CLIPSegProcessor.from_pretrained("emoji-tiny").image_processor.size["height"]
    side = 2 * tile
    size = SceneSettings(sizes=((side, side),), concepts_per_scene=(8, 8), object_size=(0.1, 0.4))
    scene = draw_scene(np.random.default_rng(0), load_concepts()[:200], GlyphSheet(), size)
    phrases = [scene.instances[0].concept.name, scene.instances[1].concept.name]

    def step_at_borders(overlap: float, borders: list[int]) -> float:
        segmenter = Segmenter.from_pretrained(
            "emoji-tiny", device="cpu", tiling=Tiling(overlap=overlap, prior_weight=0)
        )
        logits = segmenter(Image.fromarray(scene.image), phrases)[0].logits
        ratios = []
        for axis in (1, 2):
            steps = np.abs(np.diff(logits, axis=axis)).mean((0, 3 - axis))
            at_borders, others = ([border - 1 for border in some] for some in (borders, patches - set(borders)))
            ratios.append(steps[at_borders].mean() / steps[others].mean())
        return max(ratios)

    patches = set(range(16, side, 16))
    assert step_at_borders(0.25, [tile // 2, tile, tile + tile // 2]) < 1.3
    assert step_at_borders(0, [tile]) > 2
