"""The same samples, whoever draws them."""

import hashlib

import pytest
import torch
from torch.utils.data import DataLoader, Subset

from clipseg_hf.data.sampling.collate import PromptCollator
from clipseg_hf.data.sampling.sampling import PromptedDataset, PromptSampler, SamplingSettings


def digest(batch: dict) -> str:
    state = hashlib.sha256()
    for name in sorted(batch):
        state.update(name.encode() + str(tuple(batch[name].shape)).encode() + batch[name].numpy().tobytes())
    return state.hexdigest()


@pytest.fixture(scope="module")
def rows(world):
    return world[:16]


def make_dataset(rows, epoch=0) -> PromptedDataset:
    settings = SamplingSettings(image_size=32, phrases_per_image=2, hflip=0.5, color_jitter=0.3)
    dataset = PromptedDataset(PromptSampler(rows, settings, seed=5))
    dataset.set_epoch(epoch)
    return dataset


def digests(dataset, collator, **options) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(dataset, batch_size=4, shuffle=True, generator=generator, collate_fn=collator, **options)
    return [digest(batch) for batch in loader]


@pytest.fixture(scope="module")
def collator(processor):
    return PromptCollator(processor)


@pytest.fixture(scope="module")
def expected(rows, collator):
    """The batches of two epochs, made without workers."""
    return [digests(make_dataset(rows, epoch), collator) for epoch in (0, 1)]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")  # more than there are cores
@pytest.mark.parametrize("workers", [1, 4])
def test_any_number_of_workers_gives_the_same_batches(rows, collator, expected, workers):
    assert digests(make_dataset(rows), collator, num_workers=workers) == expected[0]


def test_epochs_differ(expected):
    assert not set(expected[0]) & set(expected[1])


def test_workers_that_outlive_an_epoch_draw_the_next(rows, collator, expected):
    dataset = make_dataset(rows)
    loader = DataLoader(
        dataset,
        batch_size=4,
        sampler=torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0)).tolist(),
        collate_fn=collator,
        num_workers=2,
        persistent_workers=True,
    )
    seen = []
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        seen.append([digest(batch) for batch in loader])
    plain = [
        [
            digest(batch)
            for batch in DataLoader(
                make_dataset(rows, epoch), batch_size=4, sampler=loader.sampler, collate_fn=collator
            )
        ]
        for epoch in (0, 1)
    ]
    assert seen == plain


def test_a_resumed_run_goes_on_with_the_same_batches(rows, collator):
    whole = [digest(batch) for batch in DataLoader(make_dataset(rows, 3), batch_size=4, collate_fn=collator)]
    rest = Subset(make_dataset(rows, 3), range(8, len(make_dataset(rows))))
    assert [digest(batch) for batch in DataLoader(rest, batch_size=4, collate_fn=collator)] == whole[2:]


def test_a_fresh_process_can_take_over_half_of_the_work(rows, collator):
    """As a second rank does: started anew rather than forked, it draws every second item."""
    items = list(range(0, 8, 2))
    loader = DataLoader(
        make_dataset(rows), batch_sampler=[items], collate_fn=collator, num_workers=1, multiprocessing_context="spawn"
    )
    ours = make_dataset(rows)
    assert [digest(batch) for batch in loader] == [digest(collator([ours[item] for item in items]))]
