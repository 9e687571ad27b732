"""Whether the database answers, asked now and then on a thread of its own: nobody waits for it."""

from threading import Event, Thread

from models.errors import StorageError
from services.db_client import Database

CHECK_SECONDS = 2.0


class DatabaseCheck:
    """Asks the database for a sign of life; `reason` says what is wrong, None when nothing is."""

    def __init__(self, database: Database) -> None:
        self.reason: str | None = "not asked yet"
        self._database = database
        self._stop = Event()
        self._thread = Thread(target=self._run, name="database-check", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread, or leave it behind after `timeout` seconds."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._database.ping()
                self.reason = None
            except StorageError as error:
                self.reason = str(error)
            self._stop.wait(CHECK_SECONDS)
