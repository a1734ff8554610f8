"""What only the publisher of a data set can say."""

from dataclasses import dataclass

from clipseg_hf.hub.origins import check_license, check_repo_id


@dataclass(frozen=True)
class DataRelease:
    """What only the publisher of a data set can say.

    Attributes:
        repo_id: where it will be, "name/of-the-data".
        license: of the phrases and masks, by the Hub's identifier ("cc-by-4.0", "cc0-1.0", ...).
        image_license: of the pictures, in words or by an identifier.
        title: what the card is headed by; left out, the repository's name.
        description: what the data is, where from, and what for.
        languages: of the phrases, by the two letters of ISO 639-1.
        sources: who is to be cited, a line of Markdown for each.

    Raises:
        ValueError: a licence is missing, or an id is none.
    """

    repo_id: str
    license: str
    image_license: str
    title: str | None = None
    description: str | None = None
    languages: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_repo_id(self.repo_id)
        check_license(self.license)
        if not (self.image_license or "").strip():
            raise ValueError(
                "image_license says under what terms the pictures are, such as cc-by-4.0, or in words; it is missing. "
                "Who took them is mostly somebody else than who marked them."
            )
