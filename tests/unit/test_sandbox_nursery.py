"""What a zygote does when the system has no process left for a host."""

import errno
import os
import socket

import pytest

from services.sandbox.nursery import Nursery
from services.sandbox.orders import NotSpawned, Spawn, control_frame, decode_notice
from services.sandbox.protocol import FrameReader


def test_without_a_process_for_a_host_the_zygote_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_process() -> int:
        raise OSError(errno.EAGAIN, "no process left")

    monkeypatch.setattr(os, "fork", no_process)
    never, writer = os.pipe()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for number in (1, 2):
            socket.send_fds(ours, [control_frame(Spawn(number))], [writer, writer])
        ours.shutdown(socket.SHUT_WR)
        assert Nursery(theirs, never).look_after() is None
        said = [decode_notice(each) for each in FrameReader().feed(ours.recv(1 << 16))]
    assert said == [NotSpawned(number, "no process left") for number in (1, 2)]
    os.close(never)
    os.close(writer)
