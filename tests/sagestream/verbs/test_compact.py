"""The verb `compact`: words, exit codes, what is printed."""

from pathlib import Path

from tests.sagestream.verbs.commands import run


def test_compact_says_what_went_and_can_be_run_again(settings: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("user,item,timestamp\n" + "".join(f"u,i{n % 3},{1_700_000_000 + n}\n" for n in range(30)))
    assert run("import", str(path), "--direct", settings=settings).code == 0
    assert run("compact", settings=settings).code == 2  # from which age on?
    done = run("compact", "--days", "30", "--json", settings=settings)
    assert done.json == {"interactions": 27, "impressions": 0, "attributions": 0, "snapshots": 0}
    again = run("compact", settings={**settings, "RETENTION_DAYS": "30"})
    assert again.out == "deleted: interactions: 0 · impressions: 0 · attributions: 0 · snapshots: 0\n"
