"""Dead letters: what is put aside stays, whichever outbox it came from and whoever else puts rows aside."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Lane, OutboxEntry
from gateway.store import dead_letters as letters
from gateway.store import outbox
from gateway.store.outbox import CursorStore
from tests.support_bridge import START


def entry(seq: int, lane: Lane = Lane.TELEMETRY) -> OutboxEntry:
    return OutboxEntry(seq, lane, START, b"%d" % seq)


def test_a_row_of_a_new_outbox_is_put_aside_beside_one_of_the_same_number(tmp_path: Path) -> None:
    """The database was replaced, numbers begin again: the same number and reason are another row, and both are kept."""
    store = CursorStore(str(tmp_path))
    store.adopt("one")
    store.reject("cloud", OutboxEntry(1, Lane.ALARM, START, b"former"), "400")
    store.adopt("two")
    store.reject("cloud", OutboxEntry(1, Lane.ALARM, START, b"present"), "400")
    assert store.rejected("cloud") == 2
    assert [each.seq for each in letters.dead_letters(str(tmp_path), "cloud")] == [1, -1]


def test_a_row_of_a_former_outbox_is_not_sent_under_the_id_of_another(tmp_path: Path) -> None:
    """Asked for, it stays where it is and says why; the wish is answered."""
    store = CursorStore(str(tmp_path))
    store.adopt("one")
    store.reject("cloud", entry(1), "400")
    store.adopt("two")
    assert letters.want(str(tmp_path), 1)
    assert store.wanted("cloud") == []
    assert letters.wanted(str(tmp_path)) == []
    assert "former outbox" in letters.dead_letters(str(tmp_path), "cloud")[0].reason


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(list(Lane))), max_size=40))
def test_the_bound_is_of_each_uplink_and_alarms_go_last(rows: list[tuple[str, Lane]]) -> None:
    """Invariant: each uplink keeps its newest five; no alarm goes while there is telemetry, or for another uplink."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "_MAX_DEAD_LETTERS", 5)
        store = CursorStore(directory)
        wanted: dict[str, list[tuple[Lane, int]]] = {"a": [], "b": []}
        for number, (uplink, lane) in enumerate(rows, 1):
            store.reject(uplink, entry(number, lane), "400")
            kept = wanted[uplink]
            kept.append((lane, number))
            if len(kept) > 5:
                kept.remove(min(kept, key=lambda each: (each[0] is Lane.ALARM, each[1])))
        for uplink, kept in wanted.items():
            found = [(Lane(each.lane), each.seq) for each in letters.dead_letters(directory, uplink)]
            assert found[::-1] == kept
        store.close()


@pytest.mark.parametrize("name", ["007", "0", "+1", "1 ", "١", "1" * 19])
def test_a_name_that_no_wish_has_is_no_wish(tmp_path: Path, name: str) -> None:
    """A wish that cannot be taken away under its number would be tried for ever."""
    (tmp_path / "retry.d").mkdir()
    (tmp_path / "retry.d" / name).touch()
    assert letters.wanted(str(tmp_path)) == []


def test_a_folder_is_no_wish(tmp_path: Path) -> None:
    """It cannot be taken away like a file."""
    (tmp_path / "retry.d" / "1").mkdir(parents=True)
    assert letters.wanted(str(tmp_path)) == []
