"""Counted words, as a person writes them."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 row", "2 rows", "1,000 rows"; a plural that is not the noun with an s is given."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
