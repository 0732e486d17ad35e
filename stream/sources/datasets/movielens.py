"""MovieLens (Harper & Konstan 2015): reads each published form, and RecBole's atomic files.

Arrives: `u.data` and `u.item` of 100K, `ratings.dat` and `movies.dat` of 1M and 10M, `ratings.csv` and `movies.csv` of
20M, 25M, 32M and latest, `.inter` and `.item` of RecBole. Leaves: one rating for each row, and movies with genres.
Next: `stream.sources.source`.
"""

import codecs
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from stream.sources.catalogue import items_part
from stream.sources.files.compressed import UnreadableFile, listed, opened
from stream.sources.formats.delimited import is_rating
from stream.sources.formats.opening import header_of, open_columns
from stream.sources.headers import plain_name
from stream.sources.options import Layout, SourceOptions
from stream.sources.rejections import Rejections
from stream.sources.shaping import of_tables
from stream.sources.source import Part, Source, UnknownForm, recognised
from stream.sources.tabular import events_part

GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""The last columns of `u.item`, in file order. Each holds 0 or 1."""

NO_GENRES = "(no genres listed)"

RATING_NAMES = ("user", "item", "rating", "timestamp")
U_DATA = Layout(names=RATING_NAMES, separator="\t", quoted=False)
U_ITEM = Layout(
    names=("item", "title", "released", "video", "address", *GENRES), separator="|", quoted=False, encoding="latin-1"
)
RATINGS_DAT = Layout(names=RATING_NAMES, separator="::", quoted=False)
MOVIES_DAT = Layout(names=("item", "title", "genres"), separator="::", quoted=False)
"""10M is in UTF-8, 1M in latin-1. The first bytes decide."""


def open_files(paths: Sequence[Path]) -> Source:
    """Return the source for these files and folders. Raises `UnreadableFile`."""
    return recognised(paths, _recognise, together=_hundred_thousand)


def _hundred_thousand(folder: Path) -> tuple[list[Part], list[Path]] | None:
    """Return the parts of a 100K folder, and its other files: ten splits of the same ratings are ignored."""
    if not (folder / "u.data").is_file():
        return None
    taken = [folder / name for name in ("u.item", "u.data") if (folder / name).is_file()]
    others = sorted(path for path in folder.iterdir() if path.is_file() and path not in taken)
    return [_recognise(path) for path in taken], others


def _recognise(path: Path) -> Part:
    whole = Layout(names=("line",), separator="\x1f", quoted=False, encoding="latin-1")
    line = _first_cell(path, whole)
    if "::" in line:
        cells = line.split("::")
        if is_rating(cells):  # `tags.dat` of 10M also has four cells
            return events_part(path, form="MovieLens ratings.dat", options=SourceOptions(layout=RATINGS_DAT))
        if len(cells) == len(MOVIES_DAT.names or ()):
            return items_part(path, form="MovieLens movies.dat", layout=replace(MOVIES_DAT, encoding=_encoding(path)))
    elif line.count("|") == len(U_ITEM.names or ()) - 1:
        return items_part(path, form="MovieLens u.item", layout=U_ITEM, reshaping=of_tables(_with_genres))
    header = [plain_name(name) for name in header_of(path)]
    known = set(header)
    if header == list(RATING_NAMES):
        return events_part(path, form="MovieLens u.data", options=SourceOptions(layout=U_DATA))
    if {"userid", "movieid", "rating", "timestamp"} <= known:
        return events_part(path, form="MovieLens ratings.csv")
    if {"movieid", "title", "genres"} <= known:
        return items_part(path, form="MovieLens movies.csv", reshaping=of_tables(_without_none))
    if {"user_id", "item_id", "rating", "timestamp"} <= known:
        return events_part(path, form="RecBole .inter")
    if "item_id" in known and {"movie_title", "class", "genre"} & known:
        return items_part(path, form="RecBole .item")
    raise UnknownForm(f"{path}: no MovieLens file: it has {listed(header)}")


def _first_cell(path: Path, layout: Layout) -> str:
    """Return the first cell of a file."""
    with open_columns(path, Rejections(), layout) as file:
        block = next(iter(file.blocks(file.header[:1])), None)
        if block is None:
            raise UnreadableFile("an empty file")
        return str(block.table.iloc[0, 0])


def _encoding(path: Path) -> str:
    """Return `utf-8` when the first bytes are valid UTF-8, else `latin-1`. The last character may be cut."""
    with opened(path) as file:
        begin = file.peek()
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _with_genres(table: pd.DataFrame) -> pd.DataFrame:
    """Replace the genre flags of `u.item` by one column of genre names."""
    flags = [(table[genre] == "1").to_numpy(dtype=bool) for genre in GENRES]
    names = [
        "|".join(genre for genre, flag in zip(GENRES, row, strict=True) if flag and genre != GENRES[0])
        for row in zip(*flags, strict=True)
    ]
    return table[["item", "title"]].assign(genres=pd.Series(names, index=table.index, dtype="string"))


def _without_none(table: pd.DataFrame) -> pd.DataFrame:
    """Replace the marker for movies without genres by an empty text."""
    genres = next(name for name in table.columns if plain_name(name) == "genres")
    return table.assign(**{genres: table[genres].replace(NO_GENRES, "")})
