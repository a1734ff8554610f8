"""A prompt's words and cells, in one row with its vector, and the attention to them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.layers.prompt_tokens import PromptAttention, PromptTokens

SEEN = {"text": 3, "image": 4}


def test_words_have_places_of_their_own_and_padding_is_zero():
    words = torch.tensor([[[1.0], [2.0], [3.0], [4.0]], [[5.0], [6.0], [7.0], [8.0]]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    rows = PromptTokens(3, 4).of_texts(torch.tensor([[9.0], [10.0]]), words, mask)
    assert rows.tolist() == [[9, 1, 2, 3, 0, 0, 0, 0], [10, 5, 6, 0, 0, 0, 0, 0]]
    rows = PromptTokens(3, 1).of_texts(torch.tensor([[9.0], [10.0]]), words[:, :2], None)
    assert rows.tolist() == [[9, 1, 2, 0, 0], [10, 5, 6, 0, 0]]


def test_cells_are_means_over_their_share_of_the_picture():
    patches = torch.tensor([[[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]]])  # two rows, three columns
    rows = PromptTokens(1, 4).of_images(torch.tensor([[9.0]]), patches)
    # the middle column is shared: (1 + 2/2) / 1.5, (2/2 + 3) / 1.5, and so below
    torch.testing.assert_close(rows, torch.tensor([[9, 0, 4 / 3, 8 / 3, 13 / 3, 17 / 3]]))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_cells_of_any_grid_keep_its_mean(height, width, side):
    patches = torch.randn(2, height, width, 3)
    cells = PromptTokens(0, side * side).of_images(torch.zeros(2, 3), patches)[:, 3:].unflatten(1, (-1, 3))
    assert cells.shape == (2, side * side, 3)
    torch.testing.assert_close(cells.mean(1), patches.mean((1, 2)), atol=1e-5, rtol=1e-5)


def test_half_of_the_mixtures_hide_their_words_in_training_alone():
    seen = PromptTokens(2, 1)
    text, example, mixture = [1, 1, 1, 0], [1, 0, 0, 1], [1, 1, 0, 1]
    rows = torch.tensor([text, example, mixture] * 400)[..., None]
    assert seen.present(rows).tolist() == rows[..., 0].bool().tolist()
    assert seen.present(torch.zeros(1, 4, 5)).tolist() == [
        [True, False, False, False]
    ]  # or nothing could be attended to
    torch.manual_seed(0)
    found = seen.present(rows, training=True).int()
    assert found[0::3].tolist() == [text] * 400 and found[1::3].tolist() == [example] * 400
    assert {tuple(row) for row in found[2::3].tolist()} == {(1, 1, 0, 1), (1, 0, 0, 1)}
    assert 160 < found[2::3, 1].sum() < 240


@torch.no_grad()
def test_attention_is_to_what_is_there(tiny):
    """Keys of zero weigh alike: each token gets the mean of the values that are there."""
    attention = PromptAttention(tiny.config(reduce_dim=4), 2)
    for parameter in attention.parameters():
        nn.init.zeros_(parameter)
    attention.v_proj.weight[:2] = torch.eye(2)
    attention.out_proj.weight.copy_(torch.eye(4))
    keys, values = attention.read(torch.tensor([[[1.0, 2.0], [3.0, 6.0], [50.0, 50.0]]]))
    found = attention(torch.randn(1, 5, 4), keys, values, torch.tensor([[[[True, True, False]]]]))
    assert found.tolist() == [[[2.0, 4.0, 0.0, 0.0]] * 5]


@torch.no_grad()
def test_attention_that_starts_from_zero_changes_nothing_and_any_other_does_at_each_step(tiny):
    plain, decoder = tiny.model().decoder, tiny.model(prompt_tokens=SEEN).decoder
    for attention in decoder.attends.values():
        nn.init.zeros_(attention.out_proj.weight)
        nn.init.zeros_(attention.out_proj.bias)
    decoder.load_state_dict(plain.state_dict(), strict=False)
    pairs, rows = torch.tensor([0, 1, 1, 0, 1]), torch.randn(5, 8, 24)
    rows[0, 1:], rows[1, 4:], rows[2, 1:4] = 0, 0, 0  # a bare vector, a text, an example, and two mixtures
    activations = [torch.randn(2, 5, 48) for _ in range(3)]
    expected = plain(activations, rows[:, 0], (2, 2), pairs).logits
    torch.testing.assert_close(decoder(activations, rows.flatten(1), (2, 2), pairs).logits, expected)
    for attention in decoder.attends.values():
        before, attention.out_proj.weight.data = attention.out_proj.weight.data, torch.randn(16, 16)
        changed = decoder(activations, rows.flatten(1), (2, 2), pairs).logits
        assert ((changed - expected).abs().amax((1, 2)) > 0.01).all()
        chunked = decoder(activations, rows.flatten(1), (2, 2), pairs, decode_chunk_size=2).logits
        torch.testing.assert_close(chunked, changed, atol=1e-5, rtol=1e-4)
        attention.out_proj.weight.data = before


@torch.no_grad()
def test_a_quarter_of_the_prompts_go_unheard_in_training_where_attention_stands_beside(tiny):
    decoder = tiny.model(prompt_tokens={**SEEN, "beside": True}).decoder
    rows, pairs = torch.randn(400, 8, 24), torch.zeros(400, dtype=torch.long)
    rows[:8, 1:], rows[:, 4:] = 0, 0  # bare vectors, and texts
    activations = [torch.randn(1, 5, 48) for _ in range(3)]
    bare = decoder(activations, F.pad(rows[:, 0], (0, 7 * 24)), (2, 2), pairs).logits
    whole = decoder(activations, rows.flatten(1), (2, 2), pairs).logits
    told = ((whole - bare).abs().amax((1, 2)) > 1e-4).tolist()
    assert told == [False] * 8 + [True] * 392
    torch.manual_seed(0)
    found = decoder.train()(activations, rows.flatten(1), (2, 2), pairs).logits
    unheard = (found - bare).abs().amax((1, 2)) < 1e-4
    torch.testing.assert_close(found[~unheard], whole[~unheard], atol=1e-4, rtol=1e-4)
    assert 70 < unheard[8:].sum() < 130


@torch.no_grad()
def test_a_text_means_the_same_however_far_it_is_padded(tiny):
    model = tiny.model(prompt_tokens={"text": 9, "image": 4})
    texts = tiny.tokens(3)
    padded = torch.cat([texts, torch.full((3, 2), 99)], 1)
    mask = torch.ones_like(padded)
    mask[:, 6:] = 0
    alone = model.get_conditional_embeddings(input_ids=texts, attention_mask=torch.ones_like(texts))
    torch.testing.assert_close(
        model.get_conditional_embeddings(input_ids=padded, attention_mask=mask), alone, atol=1e-5, rtol=0
    )
    plain = tiny.model().get_conditional_embeddings(input_ids=texts)
    torch.testing.assert_close(alone[:, :24], plain, atol=1e-5, rtol=0)
    filled = (alone.unflatten(1, (-1, 24)) != 0).any(-1)
    assert filled.tolist() == [[True] * 7 + [False] * 7] * 3  # the vector and six words, of nine; no cell of four


@torch.no_grad()
def test_an_example_shows_its_cells_masked_inside_of_clip_or_not(tiny):
    model, images = tiny.model(prompt_tokens=SEEN), tiny.images(2, 32, 64)
    plain = model.get_conditional_embeddings(conditional_pixel_values=images)
    masked = model.get_conditional_embeddings(conditional_pixel_values=images, conditional_masks=torch.ones(2, 8, 8))
    torch.testing.assert_close(masked, plain, atol=1e-5, rtol=1e-5)
    filled = (plain.unflatten(1, (-1, 24)) != 0).any(-1)
    assert filled.tolist() == [[True, *[False] * 3, *[True] * 4]] * 2


@torch.no_grad()
def test_tokens_are_kept_in_both_kinds_of_checkpoints_and_can_be_put_on_a_trained_decoder(tiny, tmp_path):
    clip = tiny.clip()
    clip.save_pretrained(tmp_path / "clip")
    fields = {"extract_layers": (0, 1, 3), "reduce_dim": 16}
    inputs = {"pixel_values": tiny.images(1), "input_ids": tiny.tokens(2)}
    model = CLIPSegForImageSegmentation.from_clip(str(tmp_path / "clip"), prompt_tokens=SEEN, **fields)
    assert all(weight.std() > 0 for weight in model.decoder.attends["1"].out_proj.parameters())
    for decoder_only in (False, True):
        model.save_pretrained(tmp_path / str(decoder_only), decoder_only=decoder_only)
        again = CLIPSegForImageSegmentation.from_pretrained(tmp_path / str(decoder_only))
        assert torch.equal(again(**inputs).logits, model(**inputs).logits)

    trained = CLIPSegForImageSegmentation.from_clip(str(tmp_path / "clip"), **fields)
    trained.save_pretrained(tmp_path / "trained", decoder_only=True)
    grown = CLIPSegForImageSegmentation.from_pretrained(tmp_path / "trained", prompt_tokens=SEEN)
    torch.testing.assert_close(grown(**inputs).logits, trained(**inputs).logits)
    assert sorted(grown.decoder.attends) == ["0", "1", "2"]


@pytest.mark.parametrize(
    "wrong",
    [True, 16, {}, {"text": 16}, {"text": 16, "image": 15}, {"text": 0, "image": 4}, {"text": 2.0, "image": 4},
     {"text": 1, "image": 4, "words": 2}, {"text": 1, "image": 4, "beside": 1}],
)  # fmt: skip
def test_numbers_that_no_decoder_can_attend_to(tiny, wrong):
    message = r'prompt_tokens=.* must be None or like {"text": 16, "image": 16}: how many .* of an example, a square'
    with pytest.raises(ValueError, match=message):
        CLIPSegForImageSegmentation(tiny.config(prompt_tokens=wrong))


def test_rows_of_another_width_are_refused(tiny):
    model = tiny.model(prompt_tokens=SEEN)
    with pytest.raises(
        ValueError, match=r"\(2, 24\), expected \(prompts, 192\): each a vector and 7 tokens of this model"
    ):
        model(pixel_values=tiny.images(1), conditional_embeddings=torch.zeros(2, 24))
