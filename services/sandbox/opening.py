"""Makes what stored code runs in as the settings ask for it, or says why there is nothing."""

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog

from config import Settings
from models.errors import ConfigError
from services.sandbox.canary import prove_the_seal
from services.sandbox.client import SandboxUnavailable, Zygote
from services.sandbox.kernel import hide_memory

MIB = 1024 * 1024

log = structlog.get_logger(__name__)


def open_sandbox(settings: Settings, lost: Callable[[], None] = lambda: None) -> Zygote:
    """Return a zygote that runs, and whose seal was tried; `lost` is called if it ends unasked.

    From then on this process shows its memory to no other (`hide_memory`).

    Raises SandboxUnavailable where code cannot be sealed, and ConfigError where it must not run unsealed.
    """
    sealed = settings.sandbox == "required"
    if not sealed:
        _check_insecure(settings)
    zygote = Zygote(settings.sandbox_memory_mb * MIB, settings.modules_of_sandbox(), sealed=sealed, lost=lost)
    try:
        zygote.start()
        if sealed:
            hide_memory()  # there will be strangers: this process holds what they would like to read
            _say_what_is_missing(prove_the_seal(zygote))
    except SandboxUnavailable:
        zygote.stop()
        raise
    return zygote


def _check_insecure(settings: Settings) -> None:
    """Refuse to run strangers' code unsealed where it could trade; elsewhere say loudly that it runs so."""
    if not _is_local(settings.gateway_url):
        raise ConfigError(
            f"SANDBOX=insecure-dev runs stored code unsealed, and {settings.gateway_url} is not on this "
            "machine: set SANDBOX=required, or GATEWAY_URL to a gateway for development"
        )
    log.critical(
        "sandbox_insecure",
        advice="stored code runs UNSEALED: it can read and do whatever this user can; set SANDBOX=required",
    )


def _say_what_is_missing(layers: frozenset[str]) -> None:
    if "landlock" not in layers:
        log.warning("sandbox_without_landlock", advice="the kernel has none; seccomp alone seals stored code")


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
