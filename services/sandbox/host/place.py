"""Where in an author's source something happened."""

from itertools import islice

FILE = "strategy.py"


def place_of(error: BaseException) -> tuple[int | None, int | None]:
    """Return the line and column, counted from 1, of the author's innermost call that led to an error."""
    place: tuple[int | None, int | None] = None, None
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == FILE:
            _, _, column, _ = next(islice(code.co_positions(), trace.tb_lasti // 2, None), (None,) * 4)
            place = trace.tb_lineno, None if column is None else column + 1
        trace = trace.tb_next
    return place
