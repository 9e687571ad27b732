"""Run as a process: a paper gateway on the database of argv[1], whose URL goes to the file argv[3]."""

import sys
from pathlib import Path

from services.db_client import Database
from services.paper.app import create_app
from services.paper.options import Faults, PaperGatewayOptions
from services.paper.publisher import RedisPublisher
from services.paper.server import run


def main() -> None:
    def tell(url: str) -> None:
        Path(sys.argv[3]).write_text(url)

    options = PaperGatewayOptions(faults=Faults(delay_seconds=float(sys.argv[2])))
    app = create_app(options, Database(sys.argv[1]), RedisPublisher("redis://127.0.0.1:1"))
    run(app, host="127.0.0.1", port=0, on_ready=tell)


if __name__ == "__main__":
    main()
