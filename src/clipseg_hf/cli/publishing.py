"""`clipseg-hf publish` and `clipseg-hf publish-data`."""

from pathlib import Path
from typing import Annotated

import typer

from clipseg_hf.cli.app import app
from clipseg_hf.cli.serving import say_space
from clipseg_hf.console.commands import hide_bars_from_files

LicenseOption = Annotated[
    str, typer.Option("--license", metavar="ID", help="Of what is published, such as apache-2.0 or cc-by-4.0.")
]
PrivateOption = Annotated[bool, typer.Option("--private", help="A repository that nobody else sees.")]
RevisionOption = Annotated[str | None, typer.Option(metavar="BRANCH", help="In place of main; made if need be.")]
PullRequestOption = Annotated[bool, typer.Option("--create-pr", help="Offer it as a pull request.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Write what would go up into --output; needs no network.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="With --dry-run: a new folder.")
]


@app.command()
def publish(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Of a checkpoint, such as a training's final.")],
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="account/name on the Hub; made if need be.")],
    license: LicenseOption,
    data_license: Annotated[
        str, typer.Option(metavar="TEXT", help="Of the data that it was trained on: an identifier, or words.")
    ],
    private: PrivateOption = False,
    decoder_only: Annotated[
        bool, typer.Option("--decoder-only", help="The decoder alone, 4 MB that name their CLIP on the Hub.")
    ] = False,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also graphs for Transformers.js and for use without torch.")
    ] = False,
    revision: RevisionOption = None,
    create_pr: PullRequestOption = False,
    prompt: Annotated[
        list[str], typer.Option(metavar="TEXT", help="What it is for; widget and pipeline ask it. Repeat for more.")
    ] = [],  # noqa: B006
    sample: Annotated[
        list[Path], typer.Option(metavar="FILE", help="A picture that all may see, for the card. Repeat for more.")
    ] = [],  # noqa: B006
    report: Annotated[
        list[Path], typer.Option(metavar="DIR", help="By `evaluate -o DIR` of this model. Repeat for more.")
    ] = [],  # noqa: B006
    report_before: Annotated[
        list[Path], typer.Option(metavar="DIR", help="The same of what it was trained from. Repeat for more.")
    ] = [],  # noqa: B006
    report_dataset: Annotated[
        str | None, typer.Option(metavar="ID", help="Where the data of the reports is on the Hub, if it is.")
    ] = None,
    dataset: Annotated[
        list[str], typer.Option(metavar="ID", help="Where the training data is on the Hub. Repeat for more.")
    ] = [],  # noqa: B006
    base_model: Annotated[
        str | None, typer.Option(metavar="ID", help="On the Hub, what it was trained from; else as its files say.")
    ] = None,
    base_revision: Annotated[str | None, typer.Option(metavar="REVISION", help="Of --base-model.")] = None,
    limits: Annotated[str | None, typer.Option(metavar="TEXT", help="Where it fails, for the card.")] = None,
    space: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write a Space that runs it as a page: a new folder.")
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
) -> None:
    """Publish a trained checkpoint on the Hub.

    With a card, its recipe, numbers and sample pictures, by one commit. It is loaded anew and compared before, and read
    back afterwards. The token is that of `hf auth login`, or HF_TOKEN.
    """
    from clipseg_hf._output_files import refuse_filled
    from clipseg_hf.app import write_space
    from clipseg_hf.hub import publish_checkpoint

    hide_bars_from_files()
    if space is not None:
        refuse_filled(space)  # said before anything goes up
    publish_checkpoint(
        folder,
        repo_id,
        license=license,
        data_license=data_license,
        private=private or None,
        revision=revision,
        create_pr=create_pr,
        dry_run_to=dry_run_folder(dry_run, output),
        echo=typer.echo,
        decoder_only=decoder_only,
        onnx=onnx,
        prompts=prompt,
        samples=sample,
        reports=report,
        reports_before=report_before,
        report_dataset=report_dataset,
        datasets=dataset,
        base_model=base_model,
        base_revision=base_revision,
        limits=limits,
    )
    if space is not None:
        write_space(space, repo_id, license=license)
        say_space(space)


@app.command(name="publish-data")
def publish_data(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder, file, or name on the Hub.")],
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="account/name on the Hub; made if need be.")],
    license: LicenseOption,
    image_license: Annotated[
        str, typer.Option(metavar="TEXT", help="Of the pictures: an identifier, or words. --license is of the rest.")
    ],
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Left out, the repository's name.")] = None,
    description: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What it is, where from and what for, for the card.")
    ] = None,
    language: Annotated[
        list[str], typer.Option(metavar="CODE", help="Of the phrases, such as en. Repeat for more.")
    ] = [],  # noqa: B006
    source: Annotated[list[str], typer.Option(metavar="TEXT", help="Who is to be cited. Repeat for more.")] = [],  # noqa: B006
    split: Annotated[str | None, typer.Option(help="Left out, all.")] = None,
    kind: Annotated[str | None, typer.Option(help="The layout, where it is not recognised.")] = None,
    option: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE", help="For the reader, such as ignore_index=255. Repeat for more.")
    ] = [],  # noqa: B006
    plus: Annotated[
        bool, typer.Option("--plus", help="PhraseCut+ itself, a row for each sample, drawn from PhraseCut's files.")
    ] = False,
    private: PrivateOption = False,
    revision: RevisionOption = None,
    create_pr: PullRequestOption = False,
    processes: Annotated[int, typer.Option(min=1, help="How many read at a time.")] = 1,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
) -> None:
    """Publish a data set on the Hub.

    As Parquet files that hold the pictures, with a card, by one commit. They are read back and compared row by row
    before. The token is that of `hf auth login`, or HF_TOKEN.
    """
    from clipseg_hf.console.overrides import parse_overrides
    from clipseg_hf.hub import publish_dataset

    hide_bars_from_files()
    publish_dataset(
        data,
        repo_id,
        license=license,
        image_license=image_license,
        title=title,
        description=description,
        languages=language,
        sources=source,
        split=split,
        plus=plus,
        private=private or None,
        revision=revision,
        create_pr=create_pr,
        dry_run_to=dry_run_folder(dry_run, output),
        num_proc=processes if processes > 1 else None,
        echo=typer.echo,
        **parse_overrides(option) | ({} if kind is None else {"kind": kind}),
    )


def dry_run_folder(dry_run: bool, output: Path | None) -> Path | None:
    """Where a dry run writes; None where it is none.

    Raises:
        BadParameter: one of the two options without the other.
    """
    if dry_run != (output is not None):
        raise typer.BadParameter("--dry-run and --output OUT go together: give both, or neither.")
    return output
