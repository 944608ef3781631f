"""Two stacks that start at the same moment never get one port."""

import socket
from contextlib import ExitStack

import pytest

from deploy.local.ports import LOOPBACK, free_ports, take


def test_a_port_that_one_stack_took_is_not_free_for_another_although_nobody_listens_yet() -> None:
    with ExitStack() as mine, ExitStack() as theirs:
        (port,) = free_ports(1, mine)
        assert not take(port, theirs)
        mine.close()
        assert take(port, theirs)


def test_a_port_on_which_somebody_listens_is_not_taken() -> None:
    with socket.socket() as listener, ExitStack() as kept:
        listener.bind((LOOPBACK, 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        assert not take(port, kept)


def test_ports_are_different_and_can_be_listened_on_while_they_are_kept() -> None:
    with ExitStack() as kept:
        ports = free_ports(20, kept)
        assert len(set(ports)) == 20
        with socket.socket() as listener:
            listener.bind((LOOPBACK, ports[0]))


def test_when_all_ports_are_gone_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.ports.random.randrange", lambda *_: 15_000)
    with ExitStack() as kept:
        take(15_000, kept)
        with pytest.raises(OSError, match="no 1 free ports"):
            free_ports(1, kept)
