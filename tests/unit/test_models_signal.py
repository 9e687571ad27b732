"""The id of a signal: the same for the same decision, for ever, and never the same for two."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from models.signal import SIGNAL_NAMESPACE, derive_signal_id

# What can stand in a session key and in an event: no control characters.
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
EVENT = "bar|AAPL|1m|2026-01-28T10:00:00+00:00"


def test_the_id_of_a_decision_never_changes() -> None:
    """Signals in the outboxes of running workers carry ids made by this rule: changing it repeats orders."""
    assert derive_signal_id("session-1", EVENT, 0) == "e1123fa9-6ad5-55ec-9acd-85434a521a64"
    assert derive_signal_id("session-1", EVENT, 1) == "d6a02edc-8f9e-5cf5-8d18-11f934da7f6f"


def test_an_id_is_a_name_based_uuid_in_the_namespace_of_signals() -> None:
    identity = UUID(derive_signal_id("session-1", EVENT, 0))
    assert (identity.version, str(SIGNAL_NAMESPACE)) == (5, "8f2c1c1e-6a55-5d0b-9c35-0d2f6b0c9a11")


@given(st.lists(st.tuples(NAMES, NAMES, st.integers(0, 1_000)), min_size=2, max_size=30, unique=True))
def test_different_decisions_have_different_ids(decisions: list[tuple[str, str, int]]) -> None:
    assert len({derive_signal_id(*decision) for decision in decisions}) == len(decisions)


def test_text_that_moves_from_one_part_to_the_next_makes_another_id() -> None:
    parts = [("a", "bc", 1), ("ab", "c", 1), ("a", "b", 11), ("a", "b1", 1), ("a1", "b", 1)]
    assert len({derive_signal_id(*part) for part in parts}) == len(parts)
