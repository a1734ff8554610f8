"""The parts of the network: from CLIP's activations and a prompt's vector to logits.

In come activations of chosen CLIP layers and conditional embeddings, out go logits in the image's resolution; nothing
here knows checkpoints, configurations of transformers' Auto classes or training. `CLIPSegDecoder` and `mix_prompts`
are public, as names of `clipseg_hf.modeling`.
"""
