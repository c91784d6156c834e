"""PostgreSQL: zonky's binaries with a small life cycle of our own; SCRAM, 127.0.0.1 only, never as root."""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets as randomness
import shutil
import signal
import tarfile
import zipfile
from pathlib import Path

import psutil

from infra.local import process
from infra.local.artifacts import cache_lock, extract
from infra.local.errors import StartError
from infra.local.home import Home, Ports, clear_drafts
from infra.local.ports import HOST
from infra.local.process import OsUser, Server
from infra.local.secrets import Secrets

SUPERUSER = "postgres"
AUDITOR = "auditor"
DATABASE = "mesh"
ORPHAN_TIMEOUT_S = 10.0
#: Who the server runs as where we are root, the first that exists.
UNPRIVILEGED = ("postgres", "nobody")
#: Where a server's files go that its user could not reach below a closed home folder.
ELSEWHERE = Path("/var/tmp")  # noqa: S108 - of root's own making, mode and owner checked

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": 100,
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    # An error's text shows rows (DETAIL, CONTEXT, the statement, a value that would not parse): the client
    # hears it, the log only what concerns the server itself.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": 0,
    "log_parameter_max_length_on_error": 0,
}


def account() -> OsUser | None:
    """The user to run as: ourselves (None), or for root an unprivileged one. StartError: none is there."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return OsUser(entry.pw_uid, entry.pw_gid)
    raise StartError(f"PostgreSQL refuses to run as root, and there is no user {' or '.join(UNPRIVILEGED)}")


def place(home: Home) -> Path:
    """The server's folder: below the home, or in ELSEWHERE where a parent is closed to the server's user."""
    wanted = home.folder / "postgres"
    return wanted if reaches(account(), home.folder) else _elsewhere(f"{home.folder}")


def reaches(user: OsUser | None, folder: Path) -> bool:
    """Whether `user` may pass through `folder` and all its parents, as their modes say."""
    if user is None:
        return True
    return all(_passes(user, part) for part in (folder, *folder.parents) if part.exists())


def unpack(archive: Path, cache: Path) -> Path:
    """The folder with the binaries; unpacked once, where the server's user can reach it."""
    name = f"{archive.parent.name}-postgres"
    folder = (cache / "unpacked" if reaches(account(), cache) else _elsewhere(str(cache))) / name
    if not folder.is_dir():
        with cache_lock(cache):
            if not folder.is_dir():
                _unpack(archive, folder)
    return folder


def server(home: Home, folder: Path) -> Server:
    """The server's process; `folder` is that of `place`."""
    return Server(
        "PostgreSQL",
        str(folder / "data"),
        home.logs / "postgres.log",
        home.folder / "run" / "postgres",
        stop_signal=signal.SIGINT,
        account=account(),
    )


def start(home: Home, folder: Path, binaries: Path, ports: Ports, secrets: Secrets) -> None:
    """Make the cluster if this is the first time, and start the server. Does not wait until it is ready."""
    data = folder / "data"
    if not data.exists():
        _initialise(folder, binaries, secrets)
    _bury_orphans(data)
    options = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
    command = [str(binaries / "bin" / "postgres"), "-D", str(data), "-p", str(ports.postgres), *options]
    server(home, folder).start(command, folder)


def _initialise(folder: Path, binaries: Path, secrets: Secrets) -> None:
    """Make the cluster; it takes its place only when whole."""
    user = account()
    _make_folder(folder, user)
    clear_drafts(folder)
    draft = folder / f"draft-{randomness.token_hex(8)}"
    password_file = folder / f"{draft.name}.password"
    descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.password(SUPERUSER).get_secret_value())
    _own(password_file, user)
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
    login = ("--username", SUPERUSER, "--auth=scram-sha-256", "--pwfile", str(password_file))
    try:
        command = [str(binaries / "bin" / "initdb"), "-D", str(draft), *login, *locale]
        process.run(command, folder, user)
        draft.rename(folder / "data")
    finally:
        password_file.unlink()


def _bury_orphans(data: Path) -> None:
    """End what a killed server left behind: it must be gone before a new one opens the same files.

    What it wrote into `postmaster.pid` may be another program's number by now, which would keep a new server
    from starting; it goes too.
    """
    orphans = [found for found in psutil.process_iter(["name"]) if _works_in(found, data)]
    for orphan in orphans:
        orphan.kill()
    _, alive = psutil.wait_procs(orphans, ORPHAN_TIMEOUT_S)
    if alive:
        raise StartError(f"processes of an earlier PostgreSQL do not end: {[found.pid for found in alive]}")
    (data / "postmaster.pid").unlink(missing_ok=True)


def _works_in(found: psutil.Process, data: Path) -> bool:
    try:
        return bool(found.info["name"] == "postgres") and found.cwd() == str(data)
    except psutil.Error:
        return False


def _passes(user: OsUser, folder: Path) -> bool:
    found = folder.stat()
    if found.st_uid == user.uid:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid == user.gid else 0o001))


def _elsewhere(key: str) -> Path:
    """A folder of root's that anybody may pass through; `key` tells one installation from another."""
    base = ELSEWHERE / f"public-service-mesh-{os.geteuid()}"
    base.mkdir(mode=0o755, exist_ok=True)
    found = base.lstat()
    # Everybody may write to ELSEWHERE: a folder that somebody else put there, or a link, is not ours to use.
    if found.st_uid != os.geteuid() or not base.is_dir() or base.is_symlink() or found.st_mode & 0o022:
        raise StartError(f"{base} is not ours alone; remove it")
    return base / hashlib.sha256(key.encode()).hexdigest()[:16]


def _make_folder(folder: Path, user: OsUser | None) -> None:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.chmod(0o700)
    _own(folder, user)


def _own(path: Path, user: OsUser | None) -> None:
    if user is not None:
        os.chown(path, user.uid, user.gid)


def _unpack(archive: Path, folder: Path) -> None:
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    with zipfile.ZipFile(archive) as jar:
        inner = next(name for name in jar.namelist() if name.endswith(".txz"))
        with jar.open(inner) as stream, tarfile.open(fileobj=stream, mode="r:xz") as tar:
            extract(tar, draft)
    draft.rename(folder)
