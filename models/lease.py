"""What a worker may do for a session: the words that leases and signals share."""

from enum import StrEnum

UNLEASED = 0


class Standing(StrEnum):
    """Whether what was decided under a fencing number may be sent.

    HELD: this worker holds the session. UNCONFIRMED: it did, and cannot know whether it still does.
    LOST: another one holds it, or held it since.
    """

    HELD = "held"
    UNCONFIRMED = "lease_unconfirmed"
    LOST = "lease_lost"
