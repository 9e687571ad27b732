"""A folder that cannot be written is said in words, not shown as a traceback."""

from pathlib import Path

from tests.integration.command_line import program


def test_a_gateway_without_a_place_for_its_ledger_says_what_to_do(tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.write_text("")
    ended = program("gateway", "--port", "0", "--data-folder", str(occupied / "ledger"))
    assert ended.code == 2, ended.output
    assert f"--data-folder: {occupied / 'ledger'} cannot be made: Not a directory" in ended.output
    assert "set DATABASE_URL" in ended.output
    assert "Traceback" not in ended.output


def test_any_other_file_that_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("")
    ended = program("gateway", "--port", "0", "--data-folder", str(tmp_path))
    assert ended.code == 1, ended.output
    assert f"{tmp_path / 'postgres'} cannot be used: File exists" in ended.output
    assert "Traceback" not in ended.output
