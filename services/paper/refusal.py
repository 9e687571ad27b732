"""A request that is answered with an error."""

from collections.abc import Mapping

from models.errors import StrategyWorkerError


class RequestRefused(StrategyWorkerError):
    """The answer to a request that cannot be served: `{"error", "message"}` under an HTTP status.

    `error` is a stable word for programs, `message` a sentence for people.
    """

    def __init__(
        self, status_code: int, error: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.error = error
        self.message = message
        self.headers = dict(headers or {})
