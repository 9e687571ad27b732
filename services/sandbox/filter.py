"""The seccomp filter of a sealed host: which system calls it may make, as a small program for the kernel.

The program is written in instructions of classic BPF that name where they jump to, and is assembled into what
the kernel reads. Whatever is not allowed ends the process with SIGSYS. Source: the kernel's
Documentation/userspace-api/seccomp_filter.rst; numbers from its syscall tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack

CHANNEL = 0
"""The descriptor of the only thing that a host reads from."""
LAST_WRITTEN = 2
"""What a crashing C library writes to may be tried, but is closed."""

PROT_EXEC = 0x4
MAP_ANONYMOUS = 0x20
X32_CALLS = 0x4000_0000
FUTEX_COMMAND = 0x7F
FUTEX_ALLOWED = (0, 1, 9, 10)  # wait, wake, and both with a bitset: what locks need

KILL = 0x8000_0000
ALLOW = 0x7FFF_0000

LOAD, _AND = 0x20, 0x54
IF_EQUAL, _IF_GREATER, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x25, 0x35, 0x45
RETURN = 0x06
NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
NEXT = ""


@dataclass(frozen=True)
class Architecture:
    """How one kind of machine is known to the kernel, and its numbers of the calls that are allowed."""

    audit_value: int
    calls: dict[str, int]


ARCHITECTURES = {
    "x86_64": Architecture(
        0xC000_003E,
        {
            "read": 0,
            "write": 1,
            "mmap": 9,
            "mprotect": 10,
            "munmap": 11,
            "brk": 12,
            "rt_sigreturn": 15,
            "mremap": 25,
            "madvise": 28,
            "getpid": 39,
            "exit": 60,
            "futex": 202,
            "clock_gettime": 228,
            "exit_group": 231,
            "getrandom": 318,
        },
    ),
    "aarch64": Architecture(
        0xC000_00B7,
        {
            "read": 63,
            "write": 64,
            "mmap": 222,
            "mprotect": 226,
            "munmap": 215,
            "brk": 214,
            "rt_sigreturn": 139,
            "mremap": 216,
            "madvise": 233,
            "getpid": 172,
            "exit": 93,
            "futex": 98,
            "clock_gettime": 113,
            "exit_group": 94,
            "getrandom": 278,
        },
    ),
}
CHECKED = ("read", "write", "mmap", "mprotect", "futex")


@dataclass(frozen=True)
class Instruction:
    """One step; `then` and `otherwise` name the labels that a comparison goes on at."""

    code: int
    value: int
    then: str = NEXT
    otherwise: str = NEXT


Step = Instruction | str
"""An instruction, or the label of the one after it."""


def host_filter(architecture: Architecture) -> bytes:
    """Return the program that a host is sealed with, as the kernel reads it."""
    calls = architecture.calls
    plain = [number for name, number in calls.items() if name not in CHECKED]
    return assemble(
        [
            Instruction(LOAD, _ARCHITECTURE),
            Instruction(IF_EQUAL, architecture.audit_value, otherwise="kill"),
            Instruction(LOAD, NUMBER),
            Instruction(_IF_AT_LEAST, X32_CALLS, then="kill"),
            *(Instruction(IF_EQUAL, number, then="allow") for number in plain),
            *(Instruction(IF_EQUAL, calls[name], then=name) for name in CHECKED),
            Instruction(RETURN, KILL),
            "read",
            Instruction(LOAD, argument(0)),
            Instruction(IF_EQUAL, CHANNEL, then="allow", otherwise="kill"),
            "write",
            Instruction(LOAD, argument(0)),
            Instruction(_IF_GREATER, LAST_WRITTEN, then="kill", otherwise="allow"),
            "mmap",
            Instruction(LOAD, argument(2)),
            Instruction(_IF_ANY_BIT, PROT_EXEC, then="kill"),
            Instruction(LOAD, argument(3)),
            Instruction(_IF_ANY_BIT, MAP_ANONYMOUS, otherwise="kill"),
            "mprotect",
            Instruction(LOAD, argument(2)),
            Instruction(_IF_ANY_BIT, PROT_EXEC, then="kill", otherwise="allow"),
            "futex",
            Instruction(LOAD, argument(1)),
            Instruction(_AND, FUTEX_COMMAND),
            *(Instruction(IF_EQUAL, command, then="allow") for command in FUTEX_ALLOWED),
            "kill",
            Instruction(RETURN, KILL),
            "allow",
            Instruction(RETURN, ALLOW),
        ]
    )


def assemble(steps: Sequence[Step]) -> bytes:
    """Return the program in the kernel's form: eight bytes each, and jumps as distances."""
    places: dict[str, int] = {}
    instructions: list[Instruction] = []
    for step in steps:
        if isinstance(step, str):
            places[step] = len(instructions)
        else:
            instructions.append(step)
    program = b""
    for place, step in enumerate(instructions):
        then, otherwise = (
            places[label] - place - 1 if label != NEXT else 0 for label in (step.then, step.otherwise)
        )
        program += pack("<HBBI", step.code, then, otherwise, step.value)
    return program


def argument(position: int) -> int:
    """Return where the lower half of a call's argument is; every machine here has its lowest byte first."""
    return 16 + 8 * position
