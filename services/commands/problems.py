"""The problems that a refused file has, one by one."""


def problems_of(reason: object) -> tuple[str, ...]:
    """Return the problems that one reason names, each of which but the first begins with its line."""
    first, *others = str(reason).split("; line ")
    return (first, *(f"line {each}" for each in others))
