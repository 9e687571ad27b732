"""What hostile authors write, each with the end that it is to come to.

The body of an attack is a function `attack(p)` of the source; what it returns, if it returns, is what it got.
`p` are its parameters: the worker's process, addresses in its memory, ports that listen, and so on.
"""

import platform
from dataclasses import dataclass
from textwrap import dedent, indent

from services.sandbox.ending import Cause

SURVIVED = "the host lives, and got nothing"

PRELUDE = """
import sys
os, ctypes, mmap, socket = (sys.modules[name] for name in ("os", "ctypes", "mmap", "socket"))
libc = ctypes.CDLL(None, use_errno=True)
def on_bar(bar):
    log.info(f"got {{attack(parameters)!r}}")
def attack(p):
{body}
"""


@dataclass(frozen=True)
class Attack:
    """One attack: `outcome` is why its host ends, or the error that it meets and survives."""

    name: str
    body: str
    outcome: Cause | str = Cause.FORBIDDEN_CALL

    @property
    def source(self) -> str:
        """The whole source, as it would be stored."""
        return PRELUDE.format(body=indent(dedent(self.body).strip(), "    "))


# Each of these gets what it wants from an unsealed host, and says so.
ATTACKS = [
    Attack(
        "reads the worker's environment",
        """
        seen = ctypes.create_string_buffer(4096)
        return libc.read(libc.open(f"/proc/{p.worker}/environ".encode(), 0), seen, 4096) > 0
        """,
    ),
    Attack(
        "reads the worker's memory",
        """
        class Piece(ctypes.Structure):
            _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))
        seen = ctypes.create_string_buffer(6)
        mine, theirs = Piece(ctypes.addressof(seen), 6), Piece(p.address, 6)
        libc.process_vm_readv(p.worker, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)
        return seen.raw == b"SECRET"
        """,
    ),
    Attack(
        "reads the worker's memory as a file",
        """
        seen = ctypes.create_string_buffer(6)
        memory = libc.open(f"/proc/{p.worker}/mem".encode(), os.O_RDONLY)
        libc.pread(memory, seen, 6, ctypes.c_long(p.address))
        return seen.raw == b"SECRET"
        """,
    ),
    Attack(
        "writes to the worker's memory as a file",
        """
        memory = libc.open(f"/proc/{p.worker}/mem".encode(), os.O_RDWR)
        return libc.pwrite(memory, b"TAKEN!", 6, ctypes.c_long(p.spoiled)) == 6
        """,
    ),
    Attack(
        "looks where the worker's memory lies",
        """
        seen = ctypes.create_string_buffer(4096)
        return libc.read(libc.open(f"/proc/{p.worker}/maps".encode(), 0), seen, 4096) > 0 and b"-" in seen.raw
        """,
    ),
    Attack("lists what the worker has open", "return bool(os.listdir(f'/proc/{p.worker}/fd'))"),
    Attack(
        "reads a deleted file that the worker has open",
        """
        seen = ctypes.create_string_buffer(6)
        libc.read(libc.open(f"/proc/{p.worker}/fd/{p.descriptor}".encode(), 0), seen, 6)
        return seen.raw == b"SECRET"
        """,
    ),
    Attack("traces the worker", "return libc.ptrace(0x4206, p.worker, None, None) == 0"),
    Attack("signals the worker", "os.kill(p.worker, 0); return True"),
    Attack("signals a sibling", "os.kill(p.sibling, 0); return True"),
    Attack("asks who its parent is", "return os.getppid()"),
    Attack("reads a file", "return libc.open(b'/etc/passwd', 0) >= 0"),
    Attack("writes a file", "return libc.open(p.file.encode(), os.O_CREAT | os.O_WRONLY, 0o600) >= 0"),
    Attack("lists a folder", "return bool(os.listdir('/'))"),
    Attack("looks for a file", "return bool(sys.modules['posix'].stat('/etc'))"),
    Attack("connects by TCP", "socket.create_connection(('127.0.0.1', p.port)); return True"),
    Attack(
        "sends by UDP",
        "return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', p.port))",
    ),
    Attack("asks the DNS", "return socket.getaddrinfo('localhost', 80)[0][4]"),
    Attack(
        "opens an abstract socket", "socket.socket(socket.AF_UNIX).bind(b'\\0' + os.urandom(8)); return True"
    ),
    Attack("makes a socket pair", "return bool(socket.socketpair())"),
    Attack("makes a file in memory", "return os.memfd_create('x') >= 0"),
    Attack("makes shared memory", "return libc.shmget(0, 4096, 0o1600) >= 0"),
    Attack("makes a pipe", "return os.pipe()"),
    Attack("forks", "pid = os.fork()\nif not pid:\n    os._exit(0)\nreturn pid"),
    Attack(
        "is a fork bomb",
        """
        for _ in range(20):
            if not os.fork():
                os._exit(0)
        return True
        """,
    ),
    Attack(
        "is a thread bomb",
        """
        for _ in range(20):
            sys.modules["_thread"].start_new_thread(lambda: None, ())
        return True
        """,
    ),
    Attack("starts a program", "return os.posix_spawn('/bin/true', ['true'], {})"),
    Attack("sleeps", "return libc.usleep(1) == 0"),
    Attack("duplicates what it inherited", "return libc.dup(2) >= 0"),
    Attack("writes to the terminal", "return os.write(2, b'') == 0", outcome="OSError"),
    Attack(
        "maps executable memory", "return bool(mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC))"
    ),
    Attack(
        "makes memory executable",
        """
        memory = ctypes.c_char.from_buffer(mmap.mmap(-1, 4096))
        return libc.mprotect(ctypes.c_void_p(ctypes.addressof(memory)), 4096, 7) == 0
        """,
    ),
    Attack("has a callback made by ctypes", "return bool(ctypes.CFUNCTYPE(None)(lambda: None))"),
    Attack("lets others read its memory", "return libc.prctl(4, 1, 0, 0, 0) == 0"),
    Attack("raises its limits", "sys.modules['resource'].getrlimit(0); return True"),
    Attack("ignores the interruption", "sys.modules['_signal'].signal(10, 1); return True"),
    Attack("blocks the interruption", "sys.modules['_signal'].pthread_sigmask(0, [10]); return True"),
    Attack("sets a timer", "sys.modules['_signal'].setitimer(0, 10); return True"),
    Attack("becomes another user", "os.setuid(os.getuid()); return True"),
    Attack("takes 10 GB", "return len(bytearray(p.bytes))", outcome="MemoryError"),
    Attack(
        "takes memory in pieces",
        """
        held = []
        while sum(map(len, held)) < min(p.bytes, 1 << 28):
            held.append(bytearray(1 << 20))
        return True
        """,
        outcome="MemoryError",
    ),
    Attack(
        "maps memory in C",
        "return libc.mmap(0, ctypes.c_size_t(p.bytes), 3, 0x4022, -1, 0) != -1",
        outcome="nothing",
    ),
]

# The kernel's answer to these is a matter of its version. Unsealed it gives one; sealed nobody comes back.
RARE_CALLS = {
    "x86_64": {
        "bpf": 321,
        "clone3": 435,
        "io_uring_setup": 425,
        "keyctl": 250,
        "landlock_create_ruleset": 444,
        "perf_event_open": 298,
        "personality": 135,
        "pidfd_open": 434,
        "process_madvise": 440,
        "seccomp": 317,
        "setns": 308,
        "unshare": 272,
        "userfaultfd": 323,
        "x32 getpid": 0x4000_0000 | 39,
        "no such call": 1023,
    },
    "aarch64": {
        "bpf": 280,
        "clone3": 435,
        "io_uring_setup": 425,
        "keyctl": 219,
        "landlock_create_ruleset": 444,
        "perf_event_open": 241,
        "personality": 92,
        "pidfd_open": 434,
        "process_madvise": 440,
        "seccomp": 277,
        "setns": 268,
        "unshare": 97,
        "userfaultfd": 282,
        "no such call": 1023,
    },
}
ATTACKS += [
    Attack(f"calls {name}", f"libc.syscall({number}, -1, 0, 0, 0, 0); return 'an answer'")
    for name, number in RARE_CALLS[platform.machine()].items()
]

# These never come back by themselves: what ends them is the worker, which counts their time. Those that
# catch what ends them first take a step inside of `try`, because CPython 3.11 counts an interruption at
# the head of a loop to the instruction before it.
ENDLESS = [
    Attack("loops in Python", "while True: pass", outcome="StrategyTimedOut"),
    Attack(
        "matches a regular expression",
        "import re\nre.match('(a+)+$', 'a' * 64 + 'b')",
        outcome="StrategyTimedOut",
    ),
    Attack(
        "loops and catches what ends it",
        """
        while True:
            try:
                step = 0
                while True: sum([])
            except BaseException: pass
        """,
        outcome=Cause.CPU,
    ),
    Attack("sums for ever in C", "sum(range(10**15))", outcome=Cause.CPU),
    Attack("multiplies large numbers", "10 ** 10 ** 8", outcome="StrategyTimedOut"),
    Attack(
        "sorts lists",
        """
        while True:
            try:
                step = 0
                while True: ([1.0, 2.0] * 10**6).sort()
            except BaseException: pass
        """,
        outcome=Cause.CPU,
    ),
    Attack(
        "waits for a lock",
        "lock = sys.modules['_thread'].allocate_lock()\nlock.acquire()\nlock.acquire()",
        outcome="StrategyTimedOut",
    ),
    Attack(
        "waits for a lock and catches what ends that",
        """
        lock = sys.modules["_thread"].allocate_lock()
        lock.acquire()
        while True:
            try: lock.acquire()
            except BaseException: pass
        """,
        outcome=Cause.WALL,
    ),
    Attack("reads its channel itself", "while True: os.read(0, 1)", outcome="StrategyTimedOut"),
]

# These speak to the worker, and it must not believe them.
TALKATIVE = [
    Attack("writes what is no frame", "os.write(0, b'\\xff' * 64)", outcome=Cause.PROTOCOL),
    Attack("announces a frame of 4 GB", "os.write(0, b'\\xff\\xff\\xff\\xff')", outcome=Cause.PROTOCOL),
    Attack("writes a frame of nothing", "os.write(0, b'\\0\\0\\0\\0')", outcome=Cause.PROTOCOL),
    Attack(
        "forges a price that is no number",
        """
        body = sys.modules["msgspec"].msgpack.encode(dict(type="Decided", seq=1, ordinal=0, signal_id="x",
            action="BUY", price=float("nan"), quantity=1.0, confidence=1.0, metadata={}))
        os.write(0, len(body).to_bytes(4, "little") + body)
        """,
        outcome=Cause.PROTOCOL,
    ),
    Attack("floods the log", "while True: log.info('x' * 1000)", outcome=Cause.FLOOD),
    Attack("prints for ever", "while True: print('x')", outcome=Cause.FLOOD),
    Attack("floods with signals", "while True: send_signal('BUY', 1.0, 1.0)", outcome=Cause.FLOOD),
    Attack(
        "floods the channel itself", "while True: os.write(0, b'\\1\\0\\0\\0\\x80')", outcome=Cause.PROTOCOL
    ),
]
