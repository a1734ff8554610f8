"""Rows straight from a reader, without the cache of a build."""

import pytest

from clipseg_hf.data.rows.flaws import BuildSummary


@pytest.fixture
def read(tmp_path):
    """The rows of a split as a source makes them, and what it notes."""

    def read(reader, path, split="train", **options):
        source, summary = reader(path, unpack_dir=tmp_path / "unpacked", **options), BuildSummary()
        shards = source.shards(split, summary)
        return [row for shard in shards for row in source.rows(split, shard, summary)], summary

    return read
