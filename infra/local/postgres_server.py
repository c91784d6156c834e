"""PostgreSQL: start and stop of zonky's binaries; SCRAM, 127.0.0.1 only, never as root."""

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

from infra.errors import StartError
from infra.local import process
from infra.local.artifacts import cache_lock, extract
from infra.local.home import Home, Ports, clear_drafts
from infra.local.ports import HOST
from infra.local.process import OsUser, Server
from infra.local.secrets import Secrets

SUPERUSER = "postgres"
AUDITOR = "auditor"
DATABASE = "mesh"
ORPHAN_TIMEOUT_S = 10.0
#: Users to run the server as if the mesh runs as root; the first that exists.
UNPRIVILEGED_USERS = ("postgres", "nobody")
#: Parent of the server's folder if the server's user can't enter the home folder.
FALLBACK_FOLDER = Path("/var/tmp")  # noqa: S108 - the folder in it is created by root; mode and owner are checked

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": 100,
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    # An error's text may contain rows (DETAIL, CONTEXT, the statement, an invalid value). The client receives it; the
    # log has only messages about the server itself.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": 0,
    "log_parameter_max_length_on_error": 0,
}


def server_account() -> OsUser | None:
    """Return the user to run the server as: None is the current one, for root an unprivileged one.

    Raise StartError where there is no unprivileged user.
    """
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return OsUser(entry.pw_uid, entry.pw_gid)
    raise StartError(f"PostgreSQL can't run as root: create a user {' or '.join(UNPRIVILEGED_USERS)}")


def data_folder(home: Home) -> Path:
    """Return the server's folder: in the home, or in FALLBACK_FOLDER if the server's user can't enter the home."""
    folder = home.folder / "postgres"
    return folder if can_traverse(server_account(), home.folder) else _fallback_folder(f"{home.folder}")


def can_traverse(user: OsUser | None, folder: Path) -> bool:
    """Return whether the modes of `folder` and all its parents let `user` enter.

    None is the current user, for whom nothing is checked: return True.
    """
    if user is None:
        return True
    return all(_can_enter(user, part) for part in (folder, *folder.parents) if part.exists())


def unpack(archive: Path, cache: Path) -> Path:
    """Return the folder with the binaries, unpacked once where the server's user can enter."""
    name = f"{archive.parent.name}-postgres"
    folder = (
        cache / "unpacked" if can_traverse(server_account(), cache) else _fallback_folder(str(cache))
    ) / name
    if not folder.is_dir():
        with cache_lock(cache):
            if not folder.is_dir():
                _unpack(archive, folder)
    return folder


def server(home: Home, folder: Path) -> Server:
    """Return the server's process; `folder` is the result of `data_folder`."""
    return Server(
        "PostgreSQL",
        str(folder / "data"),
        home.logs / "postgres.log",
        home.folder / "run" / "postgres",
        stop_signal=signal.SIGINT,
        account=server_account(),
    )


def start(home: Home, folder: Path, binaries: Path, ports: Ports, secrets: Secrets) -> None:
    """Create the database cluster at the first start, and start the server without waiting until it is ready.

    Kill processes that an earlier server left in the data folder; raise StartError if they don't end.
    """
    data = folder / "data"
    if not data.exists():
        _initialise(folder, binaries, secrets)
    _kill_orphans(data)
    options = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
    command = [str(binaries / "bin" / "postgres"), "-D", str(data), "-p", str(ports.postgres), *options]
    server(home, folder).start(command, folder)


def _initialise(folder: Path, binaries: Path, secrets: Secrets) -> None:
    """Create the database cluster in a draft folder, and rename it when it is complete."""
    user = server_account()
    _make_folder(folder, user)
    clear_drafts(folder)
    draft = folder / f"draft-{randomness.token_hex(8)}"
    password_file = folder / f"{draft.name}.password"
    descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.password(SUPERUSER).get_secret_value())
    _chown(password_file, user)
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
    login = ("--username", SUPERUSER, "--auth=scram-sha-256", "--pwfile", str(password_file))
    try:
        command = [str(binaries / "bin" / "initdb"), "-D", str(draft), *login, *locale]
        process.run(command, folder, user)
        draft.rename(folder / "data")
    finally:
        password_file.unlink()


def _kill_orphans(data: Path) -> None:
    """Kill processes that a killed server left, because a new server must not open the same files beside them.

    Also delete `postmaster.pid`: its pid may belong to another program now, and a new server would not start.
    """
    orphans = [process for process in psutil.process_iter(["name"]) if _runs_in(process, data)]
    for orphan in orphans:
        orphan.kill()
    _, alive = psutil.wait_procs(orphans, ORPHAN_TIMEOUT_S)
    if alive:
        raise StartError(
            f"processes of an earlier PostgreSQL do not end: kill pids {[process.pid for process in alive]}"
        )
    (data / "postmaster.pid").unlink(missing_ok=True)


def _runs_in(process: psutil.Process, data: Path) -> bool:
    try:
        return bool(process.info["name"] == "postgres") and process.cwd() == str(data)
    except psutil.Error:
        return False


def _can_enter(user: OsUser, folder: Path) -> bool:
    status = folder.stat()
    if status.st_uid == user.uid:
        return bool(status.st_mode & 0o100)
    return bool(status.st_mode & (0o010 if status.st_gid == user.gid else 0o001))


def _fallback_folder(key: str) -> Path:
    """Return a folder of root's that every user may enter; `key` is unique to an installation."""
    base = FALLBACK_FOLDER / f"public-service-mesh-{os.geteuid()}"
    base.mkdir(mode=0o755, exist_ok=True)
    status = base.lstat()
    # Every user may write to FALLBACK_FOLDER, so a folder of another user, or a link, must not be used.
    if status.st_uid != os.geteuid() or not base.is_dir() or base.is_symlink() or status.st_mode & 0o022:
        raise StartError(f"{base} belongs to another user, or other users may write to it: delete it")
    return base / hashlib.sha256(key.encode()).hexdigest()[:16]


def _make_folder(folder: Path, user: OsUser | None) -> None:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.chmod(0o700)
    _chown(folder, user)


def _chown(path: Path, user: OsUser | None) -> None:
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
