"""From rows to batches: which phrase, which negative, which example image, which crop.

In come rows and a generator's seed, out come prompted samples and, collated, the model's tensors; the same seed, epoch
and row draw the same, whatever process draws. `PhraseIndex`, `PromptSampler`, `PromptedDataset`, `SamplingSettings`,
`PromptCollator`, `PromptedSample` and `Support` are public, as names of `clipseg_hf.data`.
"""
