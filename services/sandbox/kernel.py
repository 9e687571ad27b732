"""What is asked of the Linux kernel that Python has no function for, through the C library."""

import ctypes
import os
import sys
from struct import pack

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_GET_SECCOMP = 21
PR_SET_NO_NEW_PRIVS = 38

# These two have the same number on every machine that has Landlock.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_RESTRICT_SELF = 446
_RULESET_VERSION = 1
_CAPABILITY_VERSION = 0x2008_0522

SECCOMP_SET_MODE_FILTER = 1
SECCOMP_GET_ACTION_AVAIL = 2
SECCOMP_CALLS = {"x86_64": 317, "aarch64": 277}


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def prctl(option: int, value: int) -> int:
    """Set or ask something of this process. Raises OSError."""
    return _checked(_libc().prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), 0))


def hide_memory() -> None:
    """Have the kernel show this process's memory and environment to no other process of the same user.

    It writes no core dumps from now on, and debuggers and profilers can look into it only as root.
    """
    if sys.platform == "linux":
        prctl(PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up every capability, also as root. Raises OSError."""
    header, none = pack("<Ii", _CAPABILITY_VERSION, 0), bytes(24)  # of this process; three sets of 64 bits
    _checked(_libc().capset(header, none))


def landlock_version() -> int:
    """Return which version of Landlock the kernel has. Raises OSError when it has none."""
    return _checked(
        _libc().syscall(
            ctypes.c_long(LANDLOCK_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(_RULESET_VERSION)
        )
    )


def deny_by_landlock(version: int) -> None:
    """Take every right that this version knows of from this process: an empty list of exceptions.

    Raises OSError. Source: the kernel's Documentation/userspace-api/landlock.rst.
    """
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    network, scopes = 0b11, 0b11  # TCP's bind and connect; abstract sockets and signals to the outside
    rights = pack("<QQQ", files, network, scopes)[: 8 if version < 4 else 16 if version < 6 else 24]  # noqa: PLR2004 — versions of Landlock
    ruleset = _checked(
        _libc().syscall(
            ctypes.c_long(LANDLOCK_CREATE_RULESET), rights, ctypes.c_size_t(len(rights)), ctypes.c_uint(0)
        )
    )
    try:
        _checked(
            _libc().syscall(ctypes.c_long(LANDLOCK_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0))
        )
    finally:
        os.close(ruleset)


def can_filter(machine: str, action: int) -> None:
    """Raise OSError where the kernel has no seccomp filters with this action."""
    prctl(PR_GET_SECCOMP, 0)
    value = ctypes.c_uint32(action)
    _seccomp(machine, SECCOMP_GET_ACTION_AVAIL, ctypes.byref(value))


def install_filter(machine: str, program: bytes) -> None:
    """Have every further system call of this thread judged by the program. Raises OSError."""
    structure = _FilterProgram(len(program) // 8, program)
    _seccomp(machine, SECCOMP_SET_MODE_FILTER, ctypes.byref(structure))


def _seccomp(machine: str, operation: int, argument: object) -> None:
    _checked(
        _libc().syscall(
            ctypes.c_long(SECCOMP_CALLS[machine]), ctypes.c_uint(operation), ctypes.c_uint(0), argument
        )
    )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
