"""One error tree that says who must act.

StrategyWorkerError
├── ConfigError               the operator: change a setting
├── DecodeError               nobody: skip the message, keep it in the dead letters
├── StrategyError             the strategy's author
│   ├── StrategyCrashed       a handler raised
│   ├── StrategyTimedOut      a handler passed its deadline
│   ├── StrategyQuarantined   stored code that runs again only by a person's word
│   └── StrategyRejected      a strategy, parameter or signal that cannot be accepted as it is
├── DeliveryError             the courier, by what is known about the order
│   ├── NotSent               nothing left this machine: retry with the same id
│   ├── Refused               a final no
│   └── Uncertain             it may have been executed: same id or read back, never guess
└── StorageError              PostgreSQL or Redis as a store
    ├── StorageUnavailable    retry later
    └── StorageConflict       the data contradict: retrying cannot help
"""


class StrategyWorkerError(Exception):
    """Root of every error that the worker raises on purpose."""


class ConfigError(StrategyWorkerError):
    """A setting is wrong; the message names it and says what to do. Commands exit with 2."""


class DecodeError(StrategyWorkerError):
    """A message from outside cannot be read.

    `reason` is one of a few stable words, fit for a metric label; the text explains it to a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StrategyError(StrategyWorkerError):
    """Something that only the author of a strategy can mend."""


class StrategyCrashed(StrategyError):
    """A handler of the strategy raised."""


class StrategyTimedOut(StrategyError):
    """A handler of the strategy ran longer than its deadline."""


class StrategyQuarantined(StrategyError):
    """Stored code broke a rule of its sealed process, and runs again only when a person says so."""


class StrategyRejected(StrategyError, ValueError):
    """A strategy, one of its parameters or one of its signals is not acceptable; the message says why."""


class DeliveryError(StrategyWorkerError):
    """A signal could not be delivered to the gateway."""


class NotSent(DeliveryError):
    """The request never left: connection refused, name not resolved, TLS or connect timeout."""


class Refused(DeliveryError):
    """The gateway said no, and will say no again."""


class Uncertain(DeliveryError):
    """The request left and no readable answer came back: the order may or may not exist."""


class StorageError(StrategyWorkerError):
    """A store did not do what was asked."""


class StorageUnavailable(StorageError):
    """The store cannot be reached now; the same call may succeed later.

    `uncertain` is true when the failure struck a COMMIT, so that the write may have happened.
    """

    def __init__(self, message: str, *, uncertain: bool = False) -> None:
        super().__init__(message)
        self.uncertain = uncertain


class StorageConflict(StorageError):
    """The store refused the data themselves: a constraint, a type, a missing row."""
