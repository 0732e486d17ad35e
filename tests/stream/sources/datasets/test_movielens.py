"""MovieLens in the forms of all its editions."""

from pathlib import Path

import pytest

from stream.sources.files.compressed import UnreadableFile
from tests.stream.sources.published import read, write

FLAGS = "|".join("1" if place in (3, 4, 5) else "0" for place in range(19))
TITLE = "Misérables, Les (1995)"


def test_100k(tmp_path: Path) -> None:
    write(tmp_path / "u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    write(tmp_path / "u.item", f'1|"Toy Story|01-Jan-1995||http://us.imdb.com/M|{FLAGS}\n', "latin-1")
    with (tmp_path / "u.item").open("a", encoding="latin-1") as file:
        file.write(f"2|{TITLE}|01-Jan-1995||http://us.imdb.com/M|{'|'.join(['1'] + ['0'] * 18)}\n")
    write(tmp_path / "u1.base", "1\t1\t5\t874965758\n")
    write(tmp_path / "u.user", "1|24|M|technician|85711\n")
    found = read("movielens", tmp_path)
    assert found.told == [("196", "242", 3.0, 881250949), ("186", "302", 3.0, 891717742)]
    assert [(item.title, item.categories) for item in found.items] == [
        ('"Toy Story', ["Animation", "Children's", "Comedy"]),
        (TITLE, []),
    ]
    assert found.passed_over == ["u.user", "u1.base"]
    assert read("movielens", tmp_path / "u.data", tmp_path / "u.item").told == found.told


def test_1m(tmp_path: Path) -> None:
    write(tmp_path / "ratings.dat", "1::1193::5::978300760\n")
    write(tmp_path / "movies.dat", f"1193::{TITLE}::Drama|Musical\n12::Alien: 3::Sci-Fi\n", "latin-1")
    write(tmp_path / "users.dat", "1::F::1::10::48067\n")
    found = read("movielens", tmp_path)
    assert found.told == [("1", "1193", 5.0, 978300760)]
    assert [(item.item_id, item.title, item.categories) for item in found.items] == [
        ("1193", TITLE, ["Drama", "Musical"]),
        ("12", "Alien: 3", ["Sci-Fi"]),
    ]
    assert found.passed_over == ["users.dat"]


def test_20m_and_latest(tmp_path: Path) -> None:
    write(tmp_path / "ratings.csv", "userId,movieId,rating,timestamp\r\n1,31,2.5,1260759144\r\n")
    movies = 'movieId,title,genres\r\n11,"American President, The (1995)",Comedy|Drama\r\n12,X,(no genres listed)\r\n'
    write(tmp_path / "movies.csv", movies)
    write(tmp_path / "tags.csv", "userId,movieId,tag,timestamp\r\n1,31,good,1260759144\r\n")
    write(tmp_path / "links.csv", "movieId,imdbId,tmdbId\r\n1,0114709,862\r\n")
    found = read("movielens", tmp_path)
    assert found.told == [("1", "31", 2.5, 1260759144)]
    assert [(item.title, item.categories) for item in found.items] == [
        ("American President, The (1995)", ["Comedy", "Drama"]),
        ("X", []),
    ]
    assert found.passed_over == ["links.csv", "tags.csv"]


def test_recbole(tmp_path: Path) -> None:
    inter = write(
        tmp_path / "ml.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n",
    )
    item = write(
        tmp_path / "ml.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tToy Story\t1995\tAnimation Comedy\n",
    )
    found = read("movielens", inter, item)
    assert found.told == [("196", "242", 3.0, 881250949)]
    assert found.items[0].categories == ["Animation", "Comedy"]


def test_another_file_is_none(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no MovieLens file"):
        read("movielens", write(tmp_path / "f.csv", "a,b\n1,2\n"))


def test_10m(tmp_path: Path) -> None:
    write(tmp_path / "ratings.dat", "1::122::3.5::838985046\n")
    write(tmp_path / "movies.dat", f"122::{TITLE}::Drama\n")
    write(tmp_path / "tags.dat", "15::4973::excellent!::1215184630\n")
    found = read("movielens", tmp_path)
    assert found.told == [("1", "122", 3.5, 838985046)]
    assert [item.title for item in found.items] == [TITLE]
    assert (found.passed_over, found.rejected) == (["tags.dat"], [])


def test_headers_in_another_case(tmp_path: Path) -> None:
    movies = write(tmp_path / "movies.csv", "MovieId,Title,Genres\n11,A,Comedy|Drama\n12,X,(no genres listed)\n")
    assert [item.categories for item in read("movielens", movies).items] == [["Comedy", "Drama"], []]
