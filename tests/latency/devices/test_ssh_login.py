"""No configuration of ssh leaves a host key unchecked: one line, and no login."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.devices.ssh import SshTransport
from latency.devices.ssh_login import read_host
from space.common.errors import DeviceError
from tests.helpers import device_servers
from tests.helpers.hostile import examples, mutated_text

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJw2yG5b1Vn1T2gM6kN0xB4mA1k0d5cS2n3o4p5q6r7s"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[device_servers.SshServer]:
    with device_servers.ssh_server(tmp_path) as found:
        monkeypatch.setenv("HOME", str(found.keys.home))
        yield found


def refusal(server: device_servers.SshServer, address: str = "") -> str:
    """The one line of a login that must not succeed; nothing was sent there."""
    transport = SshTransport(address or server.address)
    try:
        with pytest.raises(DeviceError, match="ssh://") as caught:
            transport.start()
    finally:
        transport.close()
    line = str(caught.value)
    assert "\n" not in line and not server.commands and not list(server.away.iterdir())
    return line


# Each leaves no check in asyncssh, or no file of host keys.
OFF = (
    "UserKnownHostsFile none",
    "userknownhostsfile=NONE",
    'UserKnownHostsFile "none"',
    "Host *\n UserKnownHostsFile none",
    "Host 127.0.0.1\n UserKnownHostsFile none",
    "Match host 127.*\n UserKnownHostsFile none",
    "Match user tester\n UserKnownHostsFile none",
    "Match exec true\n UserKnownHostsFile none",
    "Match final all\n UserKnownHostsFile none",
    "UserKnownHostsFile none\nGlobalKnownHostsFile /etc/ssh/ssh_known_hosts",
    "UserKnownHostsFile /dev/null",
    "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null",
    "GlobalKnownHostsFile /dev/null",
    "UserKnownHostsFile ~/.ssh",
    "UserKnownHostsFile ~/.ssh/pipe",
    'UserKnownHostsFile ""',
    "Include more",
)


@pytest.mark.parametrize("config", OFF)
def test_an_option_that_leaves_no_check_is_named(
    server: device_servers.SshServer, config: str
) -> None:
    """Also where the key is known: what is said is the option, its file, and what to do."""
    ssh = server.keys.ssh
    os.mkfifo(ssh / "pipe")
    (ssh / "more").write_text("UserKnownHostsFile none\n")
    (ssh / "config").write_text(config + "\n")
    line = refusal(server)
    assert "KnownHostsFile" in line and str(ssh / "config") in line
    assert "leaves no host key to check against: remove it" in line


# With these an unknown key is refused all the same, and a known one is let in.
CHECKED = (
    "",
    "StrictHostKeyChecking no",
    "StrictHostKeyChecking accept-new\nCheckHostIP no\nVerifyHostKeyDNS yes",
    "NoHostAuthenticationForLocalhost yes",
    "GSSAPIKeyExchange yes\nGSSAPIAuthentication yes",
    "GlobalKnownHostsFile none",
    "GlobalKnownHostsFile ~/missing",
    "UserKnownHostsFile ~/.ssh/known_hosts ~/missing",
    "Host other\n UserKnownHostsFile none",
    "Match final host other\n UserKnownHostsFile none",
)


@pytest.mark.parametrize("config", CHECKED)
def test_the_check_stays(server: device_servers.SshServer, config: str) -> None:
    (server.keys.ssh / "config").write_text(config + "\n")
    known = server.keys.ssh / "known_hosts"
    right = known.read_text()
    transport = SshTransport(server.address)
    transport.start().close()
    transport.close()
    server.commands.clear()
    for path in (server.away / ".cache" / "g4nas").iterdir():
        path.unlink()
    (server.away / ".cache" / "g4nas").rmdir()
    (server.away / ".cache").rmdir()
    server.keys.trust(server.port, server.keys.other)
    assert "has another host key than" in refusal(server)
    for text in ("", "# nothing\n", right.replace(str(server.port), "1")):
        known.write_text(text)
        assert "ssh there once, compare the key" in refusal(server)
    known.write_text("@revoked " + right + right)
    assert "host key" in refusal(server)
    known.unlink()
    assert "the host key of ssh://" in refusal(server)


def test_host_keys_that_cannot_be_read(server: device_servers.SshServer) -> None:
    known = server.keys.ssh / "known_hosts"
    for data, told in ((b"\xff\xfe\n", "is not UTF-8"), (b"alone\n", "mend or remove that line")):
        known.write_bytes(data)
        assert told in refusal(server) and "~/.ssh/known_hosts" in refusal(server)


def test_the_host_keys_of_jump_hosts_are_checked(
    server: device_servers.SshServer, tmp_path: Path
) -> None:
    """asyncssh would log in at a jump host by that host's own options."""
    jump = f"tester@127.0.0.1:{server.port}"
    config = server.keys.ssh / "config"
    config.write_text(
        f"Host board\n Hostname 127.0.0.1\n Port {server.port}\n ProxyJump {jump}\n"
        "Host 127.0.0.1\n UserKnownHostsFile none\n"
    )
    line = refusal(server, "tester@board")
    assert f"{jump}, a jump host of ssh://tester@board" in line and "UserKnownHostsFile" in line
    config.write_text(config.read_text().replace("UserKnownHostsFile none", ""))
    transport = SshTransport("tester@board")
    assert transport.start().readline(10).startswith(b'{"hello"')
    assert len(server.connections) == 2  # one of them through the other
    transport.close()
    server.commands.clear()
    for path in sorted(server.away.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    server.keys.trust(server.port, server.keys.other)
    line = refusal(server, "tester@board")
    assert line.startswith(f"{jump}, a jump host of ssh://tester@board, has another host key")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("ProxyJump 127.0.0.1", "does a host jump through itself"),
        ("ProxyJump a:b", "must be [user@]host[:port]"),
        ("ProxyJump a,,b", "must be [user@]host[:port]"),
        ("Port 99999", "Port must be from 1 to 65535"),
        ("User none", "config"),
        ("Hostname %Z", "config"),
        ("HostKeyAlgorithms none", "config"),
        ("Match nonsense x", "config"),
        ("ConnectTimeout soon", "config"),
        ("UserKnownHostsFile '", "config"),
    ],
)
def test_a_configuration_that_cannot_be_used(
    server: device_servers.SshServer, config: str, told: str
) -> None:
    (server.keys.ssh / "config").write_text(config + "\n")
    transport = SshTransport("127.0.0.1")
    try:
        with pytest.raises(OSError, match=r"ssh://127\.0\.0\.1") as caught:
            transport.start()
    finally:
        transport.close()
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_configuration_that_is_no_file(server: device_servers.SshServer, kind: str) -> None:
    path = server.keys.ssh / "config"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert f"{path}: must be a file; it is a {kind}" in refusal(server)


LINES = (
    "Host *", "Host 127.0.0.1", "Match all", "Match final all", "Match host x", "Include more",
    "UserKnownHostsFile none", "UserKnownHostsFile /dev/null", "UserKnownHostsFile ~/.ssh/other",
    "UserKnownHostsFile ~x/y", "GlobalKnownHostsFile none", "StrictHostKeyChecking no",
    "HostKeyAlias none", "HostKeyAlias other", "Hostname localhost", "ProxyJump none", "Port 22",
    "ProxyCommand none", "CanonicalizeHostname always", "User none", "Port none", "Port -1",
    "RekeyLimit -1", "AddressFamily x", "IdentityFile ~/x", "HostKeyAlgorithms none",
)  # fmt: skip
MATCHES = f"""[127.0.0.1]:2222 {KEY}
# a comment
*.example.com,!bad.example.com {KEY} name
|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= {KEY}
@cert-authority * {KEY}
@revoked * {KEY}
"""


@examples(60)
@given(
    lines=st.lists(st.sampled_from(LINES), min_size=1, max_size=6), damage=st.data(),
)  # fmt: skip
def test_property_any_configuration_gives_keys_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], damage: st.DataObject
) -> None:
    """The keys are an object that asyncssh checks against: never None, and never empty in a way
    that it takes for the default."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir()
    text = "\n".join(lines) + "\n"
    config = damage.draw(st.one_of(st.just(text.encode()), mutated_text(text)))
    (home / ".ssh" / "config").write_bytes(config)
    known = damage.draw(st.one_of(st.just(MATCHES.encode()), mutated_text(MATCHES)))
    (home / ".ssh" / "known_hosts").write_bytes(known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        try:
            found = read_host(asyncssh, "127.0.0.1", {}, "ssh://127.0.0.1")
        except DeviceError as error:
            line = str(error)
            assert line.startswith("ssh://127.0.0.1") and "\n" not in line and len(line) < 1000
            assert all(c.isprintable() for c in line), line
        else:
            assert isinstance(found.keys, asyncssh.SSHKnownHosts) and found.keys
            assert isinstance(found.name, str)
