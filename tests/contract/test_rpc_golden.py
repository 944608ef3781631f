import os

from tests.contract.declared import GOLDEN, golden


def test_no_rpc_changes_its_door_unnoticed() -> None:
    """After a change on purpose: VENUS_REWRITE_GOLDEN=1 and run again; the diff is for the reviewer."""
    if os.environ.get("VENUS_REWRITE_GOLDEN"):
        GOLDEN.write_text(golden())

    assert GOLDEN.read_text() == golden()
