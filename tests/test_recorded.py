"""The recorded data ships with the project: small, and each file with its source."""

import recordings

FILES = [path for path in recordings.FOLDER.rglob("*") if path.is_file()]


def test_every_file_is_named_with_its_source() -> None:
    readme = (recordings.FOLDER / "README.md").read_text(encoding="utf-8")
    unnamed = [path.name for path in FILES if f"`{path.name}`" not in readme]
    assert unnamed == ["README.md"]


def test_the_data_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < 3 * 1024**2


def test_no_recording_holds_a_secret() -> None:
    for path in FILES:
        if path.suffix == ".json":
            text = path.read_text(encoding="utf-8").lower()
            assert "subscription-key" not in text, path.name
            assert "sig=" not in text, path.name
