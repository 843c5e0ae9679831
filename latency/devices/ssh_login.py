"""Logs in over ssh, through jump hosts if the configuration names some. Every host key is checked.

asyncssh checks no host key after `UserKnownHostsFile none`, and accepts X.509 certificates and
Kerberos in place of one. So the files of host keys are read here, and asyncssh gets what they
hold: whatever the configuration says, a key that is in none of them is refused.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency.devices.transport import one_line
from space.common.errors import DeviceError
from space.common.files import check_regular, read_text
from space.common.text import shorten

SSH_PORT = 22
ALWAYS = {
    "password_auth": False, "kbdint_auth": False, "gss_kex": False, "x509_trusted_certs": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Host:
    """A host, as the configuration describes it.

    `name` and `port` are those under which known_hosts has it. `keys` are the host keys of the
    `files`, an object of asyncssh. `jumps` are the hosts to go through, [user@]host[:port].
    """

    name: str
    port: int | None
    keys: Any
    files: str
    jumps: tuple[str, ...]

    def advice(self, where: str) -> str:
        """What to do about a host key that is unknown, or that has changed."""
        if self.keys.match(self.name, "", self.port)[0]:
            return (
                f"{where} has another host key than {self.files} says: someone may be listening "
                "in, or it was set up anew; if so, ssh-keygen -R it and ssh there once"
            )
        return (
            f"the host key of {where} is not in {self.files}: ssh there once, compare the key "
            "it shows with the device's own, and accept it"
        )


def config_path() -> Path:
    """The user's ssh configuration; asyncssh reads no other."""
    return Path("~", ".ssh", "config").expanduser()


def read_host(ssh: Any, host: str, options: Mapping[str, Any], where: str) -> Host:
    """Read ~/.ssh/config and the files of host keys.

    Args:
        ssh: the module asyncssh.
        host: the name to log in at.
        options: of `asyncssh.connect`.

    Raises:
        DeviceError: no host key could be checked, or a file cannot be used; one line that names
            the option and the file.
    """
    path = config_path()
    try:
        if path.exists():
            check_regular(path)
        # () is the default file; None, the default of these options, is no file.
        found = ssh.SSHClientConnectionOptions(host=host, config=(), **ALWAYS, **options)
        if found.config.has_match_final():
            found.update(host=host, reload=True, canonical=False, final=True)
        port, alias = int(found.port), found.host_key_alias
        if not 1 <= port <= 65535:
            raise ValueError(f"Port must be from 1 to 65535; got {port}")
        jumps = found.tunnel.split(",") if isinstance(found.tunnel, str) else []
    except ssh.KeyImportError as error:
        raise DeviceError(f"{where}: {one_line(error)}") from None
    except (ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        # asyncssh reads some options without a check of their type, as `User none`.
        text = str(error).removeprefix(f"{path} ").removeprefix(f"{path}: ")
        raise DeviceError(f"{where}: {path}: {one_line(text)}") from None
    keys, files = _host_keys(ssh, found.config, where)
    name = str(alias or found.host)
    return Host(name, None if port == SSH_PORT else port, keys, files, tuple(jumps))


def _host_keys(ssh: Any, config: Any, where: str) -> tuple[Any, str]:
    """The keys of the configured files, and the files' names for messages."""
    user = config.get("UserKnownHostsFile", ("~/.ssh/known_hosts",))
    if not user:
        raise _switched_off(where, "UserKnownHostsFile none")
    named = [("UserKnownHostsFile", name) for name in user]
    named += [("GlobalKnownHostsFile", name) for name in config.get("GlobalKnownHostsFile", ())]
    texts = []
    for option, name in named:
        label = one_line(f"{option} {name}")
        path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path's own fails for an unknown user
        try:
            texts.append(read_text(path, most_bytes=2**28))
            ssh.import_known_hosts(texts[-1])
        except FileNotFoundError:
            continue  # as ssh does: what is missing holds no key
        except OSError as error:
            raise DeviceError(f"{where}: {label}: {error.strerror or error}") from None
        except ValueError as error:
            if not path.is_file():  # /dev/null above all
                raise _switched_off(where, label) from None
            text = one_line(str(error).removeprefix(f"{path}: "))
            raise DeviceError(f"{where}: {label}: {text}: mend or remove that line") from None
    plain = config.get("UserKnownHostsFile") is None
    files = "known_hosts" if plain else one_line(", ".join(name for _, name in named))
    return ssh.import_known_hosts("\n".join(texts)), files


def _switched_off(where: str, option: str) -> DeviceError:
    return DeviceError(
        f"{where}: `{option}` in {config_path()}, or in a file that it includes, leaves no host "
        "key to check against: remove it, or name a file that holds the device's host key"
    )


async def log_in(
    ssh: Any, host: str, options: Mapping[str, Any], where: str, *, jump: str = "", left: int = 8
) -> Any:
    """A connection of asyncssh to `host`; the hosts to go through are logged in at likewise.

    Args:
        where: the device, for messages.
        jump: the jump host, if `host` is one.
        left: how many jumps may still be necessary.

    Raises:
        DeviceError: as `read_host`, or a host key is unknown or has changed, or no key logs in.
        asyncssh.Error, OSError: no connection.
    """
    name = f"{one_line(jump)}, a jump host of {where}," if jump else where
    found = await asyncio.to_thread(read_host, ssh, host, options, name)
    jumps = [(text, *_parts(text, where)) for text in found.jumps]
    if len(jumps) > left:
        raise DeviceError(
            f"{where}: ProxyJump in {config_path()} must lead there in fewer jumps; does a host "
            "jump through itself?"
        )
    tunnel = None
    try:
        for number, (text, user, address, port) in enumerate(jumps):
            # A jump host keeps its own user and port, and the first one its own jump hosts.
            own = {k: v for k, v in options.items() if k not in ("username", "port", "tunnel")}
            own |= ({"username": user} if user else {}) | ({"port": port} if port else {})
            if number:
                own["tunnel"] = tunnel
            after = left - len(jumps) + number
            reached = await log_in(ssh, address, own, where, jump=text, left=after)
            if tunnel is not None:
                reached.set_tunnel(tunnel)  # which it closes when it is closed
            tunnel = reached
        # None, not (): asyncssh would follow ProxyJump itself, and check the hosts in its way.
        own = {"tunnel": tunnel, **options}
        connection = await ssh.connect(host, known_hosts=found.keys, **ALWAYS, **own)
    except BaseException as error:
        if tunnel is not None:
            tunnel.close()
        if isinstance(error, ssh.HostKeyNotVerifiable):
            raise DeviceError(found.advice(name)) from None
        if isinstance(error, ssh.PermissionDenied):
            raise DeviceError(
                f"{name} took none of this user's keys: add one there (ssh-copy-id) or to the "
                "agent (ssh-add); passwords are not used"
            ) from None
        raise
    if tunnel is not None:
        connection.set_tunnel(tunnel)
    return connection


def _parts(jump: str, where: str) -> tuple[str, str, int]:
    """User, host and port of [user@]host[:port]; "" and 0 where they are absent."""
    text = jump.strip().removeprefix("ssh://")
    user, _, address = text.rpartition("@")
    host, colon, digits = address.rpartition(":") if ":" in address else (address, "", "")
    if address.startswith("[") and address.endswith("]"):
        host, colon, digits = address, "", ""
    host = host.removeprefix("[").removesuffix("]")
    good = not colon or (digits.isascii() and digits.isdigit() and 1 <= int(digits[:6]) <= 65535)
    if not host or not good:
        raise DeviceError(
            f"{where}: ProxyJump in {config_path()} must be [user@]host[:port], with commas "
            f"between; got {shorten(jump)}"
        )
    return user, host, int(digits) if colon else 0
