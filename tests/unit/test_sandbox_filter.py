"""What the filter of system calls lets through, asked of an interpreter that reads it as the kernel does."""

import struct

import pytest

from services.sandbox.filter import ALLOW, ARCHITECTURES, KILL, host_filter

X86_64, AARCH64, I386 = "x86_64", "aarch64", 0x4000_0003


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Run a program as the kernel does on one call: what it returns."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *[*arguments, *[0] * 6][:6])
    steps = list(struct.iter_unpack("<HBBI", program))
    place = accumulator = 0
    while True:
        code, then, otherwise, value = steps[place]
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x54:
            accumulator &= value
        elif code == 0x06:
            return int(value)
        else:
            holds = {
                0x15: accumulator == value,
                0x25: accumulator > value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]
            place += then if holds else otherwise


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
@pytest.mark.parametrize(
    ("call", "arguments", "judgement"),
    [
        ("read", (0,), ALLOW),
        ("read", (3,), KILL),
        ("write", (0,), ALLOW),
        ("write", (2,), ALLOW),
        ("write", (3,), KILL),
        ("write", (2**32 - 1,), KILL),
        ("mmap", (0, 4096, 3, 0x22), ALLOW),
        ("mmap", (0, 4096, 7, 0x22), KILL),
        ("mmap", (0, 4096, 1, 0x02), KILL),
        ("mprotect", (0, 4096, 3), ALLOW),
        ("mprotect", (0, 4096, 5), KILL),
        ("futex", (0, 0), ALLOW),
        ("futex", (0, 0x80 | 9), ALLOW),
        ("futex", (0, 0x80 | 0x100 | 9), ALLOW),
        ("futex", (0, 3), KILL),
        ("futex", (0, 11), KILL),
        ("brk", (), ALLOW),
        ("munmap", (), ALLOW),
        ("getrandom", (), ALLOW),
        ("exit_group", (), ALLOW),
    ],
)
def test_a_call_is_judged_by_its_arguments(
    machine: str, call: str, arguments: tuple[int, ...], judgement: int
) -> None:
    architecture = ARCHITECTURES[machine]
    said = verdict(host_filter(architecture), architecture.audit_value, architecture.calls[call], *arguments)
    assert said == judgement


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
def test_no_other_call_is_allowed(machine: str) -> None:
    architecture = ARCHITECTURES[machine]
    program = host_filter(architecture)
    allowed = {
        number
        for number in [*range(1100), *range(0x4000_0000, 0x4000_0400), 2**31, 2**32 - 1]
        if verdict(program, architecture.audit_value, number, 0, 0, 0, 0x22) == ALLOW
    }
    assert allowed == set(architecture.calls.values())
    assert len(allowed) == 15


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
def test_calls_of_another_architecture_are_not_allowed(machine: str) -> None:
    program = host_filter(ARCHITECTURES[machine])
    others = {each.audit_value for each in ARCHITECTURES.values()} - {ARCHITECTURES[machine].audit_value}
    for other in (*others, I386):
        assert {verdict(program, other, number) for number in range(400)} == {KILL}
