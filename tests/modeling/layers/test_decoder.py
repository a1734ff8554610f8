"""The decoder's mathematics, its first weights and its number of parameters."""

import math

import pytest
import torch
from torch import nn
from transformers import CLIPSegConfig

from clipseg_hf.modeling import CLIPSegDecoder, CLIPSegForImageSegmentation
from clipseg_hf.modeling.layers.initialization import initialize_decoder


def decode(decoder: CLIPSegDecoder, activations, vectors, grid=(1, 1), **arguments):
    pairs = torch.arange(len(vectors))
    return decoder(activations, vectors, grid, pairs, **arguments)


@pytest.fixture
def plain(tiny) -> CLIPSegDecoder:
    """One step whose block does nothing but normalise twice: all its sums add zero."""
    decoder = CLIPSegDecoder(tiny.config(extract_layers=[0], reduce_dim=4))
    for name, parameter in decoder.named_parameters():
        nn.init.zeros_(parameter) if "layer_norm" not in name else None
    return decoder


@torch.no_grad()
def test_film_scales_and_shifts_every_token(plain):
    plain.reduces[0].bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    plain.film_mul.bias.fill_(2.0)
    plain.film_add.weight[0, 0] = 1.0
    vectors = torch.zeros(1, 24)
    vectors[0, 0] = 5.0
    states = decode(plain, [torch.zeros(1, 2, 48)], vectors, output_hidden_states=True).hidden_states
    # 2 * (1, 2, 3, 4) + (5, 0, 0, 0), in the CLS token as in the other
    assert states[0].tolist() == [[[7.0, 4.0, 6.0, 8.0]] * 2]


@torch.no_grad()
def test_a_block_ends_in_a_norm_and_the_readout_leaves_cls_out(plain):
    plain.reduces[0].weight[0, 0] = 1.0
    plain.film_mul.bias.fill_(1.0)
    plain.transposed_convolution.weight[0].fill_(1.0)
    activation = torch.zeros(1, 2, 48)
    activation[0, 0, 0], activation[0, 1, 0] = 100.0, 2.0
    outputs = decode(plain, [activation], torch.zeros(1, 24), output_hidden_states=True)
    # (2, 0, 0, 0) normalised: mean 1/2, standard deviation sqrt(3)/2 -> (sqrt 3, -1/sqrt 3, ...)
    expected = torch.tensor([math.sqrt(3), *[-1 / math.sqrt(3)] * 3])
    torch.testing.assert_close(outputs.hidden_states[1][0, 1], expected, atol=1e-4, rtol=0)
    # channel 0 of the one patch fills its 16 x 16 pixels
    torch.testing.assert_close(outputs.logits, torch.full((1, 16, 16), math.sqrt(3)), atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("step", [0, 1, 2])
def test_film_acts_at_the_conditional_layer(tiny, step):
    decoder = tiny.model(conditional_layer=step).decoder
    activations, vectors = [torch.randn(1, 5, 48) for _ in range(3)], torch.randn(2, 24)
    inputs = ([a.expand(2, -1, -1) for a in activations], vectors, (2, 2))
    blocks = []
    for layer in decoder.layers:
        layer.register_forward_pre_hook(lambda _, arguments: blocks.append(arguments[0]))
    decode(decoder, *inputs)
    # not bit by bit: several threads may sum the two prompts in another order
    differs = [not torch.allclose(tokens[0], tokens[1], atol=1e-4) for tokens in blocks]
    assert differs == [number >= step for number in range(3)]


@torch.no_grad()
def test_film_at_several_steps_by_hand(tiny):
    """A block ends in a norm of (1, -1, 1, -1), to which the second step adds no skip."""
    decoder = CLIPSegDecoder(tiny.config(extract_layers=[0, 1], reduce_dim=4, conditional_layers=[0, 1]))
    for name, parameter in decoder.named_parameters():
        nn.init.zeros_(parameter) if "layer_norm" not in name else None
    decoder.reduces[0].bias.copy_(torch.tensor([3.0, 1.0, 3.0, 1.0]))
    decoder.film_mul.bias.fill_(1.0)
    decoder.films["1"].mul.weight[:, 0] = torch.tensor([1.0, 0.0, 0.0, -0.5])
    decoder.films["1"].add.bias[1] = 0.25
    vectors = torch.zeros(1, 24)
    vectors[0, 0] = 2.0
    blocks = []
    decoder.layers[1].register_forward_pre_hook(lambda _, arguments: blocks.append(arguments[0]))
    decode(decoder, [torch.zeros(1, 2, 48)] * 2, vectors)
    # (1 + 2) * 1, 1 * -1 + 0.25, 1 * 1, (1 - 1) * -1
    torch.testing.assert_close(blocks[0], torch.tensor([[[3.0, -0.75, 1.0, 0.0]] * 2]), atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("first", "steps"), [(0, [0, 1, 2]), (1, [1, 2]), (2, [0, 2])])
def test_further_films_of_zeros_change_nothing_and_others_do_at_each_step(tiny, first, steps):
    plain = tiny.model(conditional_layer=first).decoder
    decoder = tiny.model(conditional_layer=first, conditional_layers=steps).decoder
    for parameter in decoder.films.parameters():
        nn.init.zeros_(parameter)
    decoder.load_state_dict(plain.state_dict(), strict=False)
    inputs = ([torch.randn(2, 5, 48) for _ in range(3)], torch.randn(5, 24), (2, 2), torch.tensor([0, 1, 1, 0, 1]))
    expected = plain(*inputs).logits
    torch.testing.assert_close(decoder(*inputs).logits, expected)
    for film in decoder.films.values():
        before, film.add.weight.data = film.add.weight.data, torch.randn(decoder.config.reduce_dim, 24)
        changed = decoder(*inputs).logits
        assert (changed - expected).abs().max() > 0.01
        torch.testing.assert_close(decoder(*inputs, decode_chunk_size=2).logits, changed, atol=1e-5, rtol=1e-4)
        film.add.weight.data = before


@torch.no_grad()
def test_activations_enter_from_deep_to_shallow(tiny):
    decoder = tiny.model().decoder
    activations, vectors = [torch.randn(1, 5, 48) for _ in range(3)], torch.randn(1, 24)
    first = decode(decoder, activations, vectors, (2, 2), output_hidden_states=True).hidden_states[0]
    expected = decoder.film_mul(vectors) * decoder.reduces[0](activations[2]) + decoder.film_add(vectors)
    torch.testing.assert_close(first, expected)


@pytest.mark.parametrize("patch", [8, 14, 16, 32])
def test_the_readout_gives_the_size_of_the_image(tiny, patch):
    config = tiny.config(vision_config={"patch_size": patch, "image_size": 4 * patch})
    logits = decode(CLIPSegDecoder(config), [torch.randn(1, 7, 48)] * 3, torch.randn(1, 24), (2, 3)).logits
    assert logits.shape == (1, 2 * patch, 3 * patch)


@pytest.mark.parametrize(("refined", "parameters"), [(False, 1_073_153), (True, 1_127_009)])
def test_trainable_parameters_of_the_paper(refined, parameters):
    config = CLIPSegConfig(vision_config={"patch_size": 16}, reduce_dim=64, use_complex_transposed_convolution=refined)
    with torch.device("meta"):
        model = CLIPSegForImageSegmentation(config)
    assert model.num_parameters(only_trainable=True) == parameters


def test_fresh_weights_are_pytorchs_defaults(tiny):
    torch.manual_seed(0)
    decoder = CLIPSegForImageSegmentation(tiny.config(reduce_dim=64)).decoder
    layer = decoder.layers[0]
    uniform = {  # parameter -> bound of its uniform distribution
        decoder.film_mul.weight: 24**-0.5,
        decoder.reduces[1].weight: 48**-0.5,
        layer.mlp.fc2.weight: 64**-0.5,
        layer.self_attn.out_proj.weight: 64**-0.5,
        layer.self_attn.q_proj.weight: math.sqrt(6 / (4 * 64)),  # Xavier over the stacked (3 * 64, 64)
        decoder.transposed_convolution.weight: 256**-0.5,
    }
    for parameter, bound in uniform.items():
        assert 0.95 * bound < parameter.abs().max() <= bound
        assert parameter.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert all(bias.eq(0).all() for bias in (layer.self_attn.k_proj.bias, layer.self_attn.out_proj.bias))
    assert layer.layer_norm1.weight.eq(1).all()


def test_fresh_weights_come_from_the_generator(tiny):
    decoders = [CLIPSegDecoder(tiny.config(use_complex_transposed_convolution=True)) for _ in range(3)]
    for decoder, seed in zip(decoders, (1, 1, 2), strict=True):
        initialize_decoder(decoder, torch.Generator().manual_seed(seed))
    first, same, other = ([p.detach() for p in decoder.parameters()] for decoder in decoders)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not torch.equal(first[0], other[0])


def test_dropout_acts_in_training_only(tiny):
    decoder = tiny.model(decoder_dropout=0.5).decoder
    inputs = ([torch.randn(1, 5, 48)] * 3, torch.randn(1, 24), (2, 2))
    assert torch.equal(decode(decoder.eval(), *inputs).logits, decode(decoder, *inputs).logits)
    assert not torch.equal(decode(decoder.train(), *inputs).logits, decode(decoder, *inputs).logits)
    without = tiny.model(decoder_dropout=0.0).decoder
    torch.testing.assert_close(decode(without.train(), *inputs).logits, decode(decoder.eval(), *inputs).logits)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_dropout_keeps_the_mean(tiny, attention):
    """Over many draws the hidden states of the first block scatter around those without dropout."""
    model = tiny.model(attention, decoder_dropout=0.1)
    inputs = ([torch.randn(1, 5, 48)] * 3, torch.randn(1, 24), (2, 2))
    exact = decode(model.decoder.eval(), *inputs, output_hidden_states=True).hidden_states[1]
    model.decoder.train()
    draws = [decode(model.decoder, *inputs, output_hidden_states=True).hidden_states[1] for _ in range(200)]
    assert (torch.stack(draws).mean(0) - exact).abs().mean() < 0.1
