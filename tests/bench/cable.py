"""Network namespaces of one machine that act as hosts on a network of limited bandwidth and some delay.

It works on kernels without netem: each namespace has a TUN device, and a process of this module is the switch. A packet
leaves its host after those before it, at the link's rate. It arrives after the delay, and after those that arrive before it.
"""

import contextlib
import fcntl
import heapq
import multiprocessing
import os
import select
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_MTU = 9000  # bytes
_SPIN_SECONDS = 1e-4  # the switch polls the clock this long before a packet is due: a sleep may overrun


@dataclass(frozen=True)
class Link:
    """Connection of each host to the switch, in both directions: bits per second, and seconds from host to host."""

    rate: float
    delay: float


def address(host: int) -> str:
    """Return the IP address of a host, counted from 0."""
    return f"10.99.0.{host + 1}"


def on_host(host: int | str) -> list[str]:
    """Return a prefix that runs a command on a host, with its name and its network."""
    named = 'hostname "$0" && exec "$@"'
    return ["ip", "netns", "exec", f"charlm{host}", "unshare", "--uts", "sh", "-c", named, f"charlm{host}"]


@contextlib.contextmanager
def network(hosts: int, link: Link) -> Iterator[None]:
    """Set up hosts for the duration of a `with` block. Needs root and /dev/net/tun."""
    taps = [_tun(f"charlm{host}") for host in range(hosts)]
    switch = multiprocessing.get_context("fork").Process(target=_switch, args=(taps, link), daemon=True)
    try:
        for host in range(hosts):
            _ip("netns", "add", f"charlm{host}")
            _ip("link", "set", f"charlm{host}", "netns", f"charlm{host}")
            inside = ("-n", f"charlm{host}")
            _ip(*inside, "link", "set", "lo", "up")
            _ip(*inside, "address", "add", f"{address(host)}/24", "dev", f"charlm{host}")
            _ip(*inside, "link", "set", f"charlm{host}", "mtu", str(_MTU), "up")
        switch.start()
        yield
    finally:
        if switch.is_alive():
            switch.terminate()
            switch.join()
        for host in range(hosts):
            subprocess.run(["ip", "netns", "delete", f"charlm{host}"], check=False, capture_output=True)
        for tap in taps:
            os.close(tap)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _tun(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return tap


def _switch(taps: list[int], link: Link) -> None:
    """Receive packets and deliver them when they are due, forever."""
    sent, received = [0.0] * len(taps), [0.0] * len(taps)  # when each link is free again
    due: list[tuple[float, int, bytes]] = []
    number = 0
    while True:
        wait = max(0.0, due[0][0] - time.monotonic() - _SPIN_SECONDS) if due else None
        for tap in select.select(taps, [], [], wait)[0]:
            packet = os.read(tap, _MTU)
            if packet[0] >> 4 != 4 or not 0 < packet[19] <= len(taps):
                continue  # not IPv4, or not for one of the hosts
            source, target, seconds = taps.index(tap), packet[19] - 1, 8 * len(packet) / link.rate
            sent[source] = max(time.monotonic(), sent[source]) + seconds
            received[target] = max(sent[source] + link.delay, received[target] + seconds)
            number += 1
            heapq.heappush(due, (received[target], number, packet))
        while due and due[0][0] <= time.monotonic():
            packet = heapq.heappop(due)[2]
            with contextlib.suppress(OSError):  # the host is gone
                os.write(taps[packet[19] - 1], packet)
