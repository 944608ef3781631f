"""What tests stand on: one real PostgreSQL per run, a fresh database per test, keys for every service."""

import asyncio
import base64
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar
from uuid import uuid4

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from prometheus_client import REGISTRY

from venus_kit.migrate import migrate
from venus_kit.roles import as_role, create_service, open_database, with_path

Result = TypeVar("Result")

_PASSWORD: Final = "test"  # noqa: S105  of a server that only this run can reach


class Cluster(Protocol):
    """A PostgreSQL that can be started in a folder, and found there again by another process."""

    async def start(self) -> None:
        """Start it."""
        ...

    async def stop(self) -> None:
        """Stop it."""
        ...

    def superuser_url(self, database: str = "postgres") -> str:
        """A URL that may do everything."""
        ...


class DatabaseUrls(NamedTuple):
    """A fresh database: how the service reaches it, and how its migrator does."""

    service: str
    migrator: str


class SharedPostgres:
    """The one PostgreSQL of a test run. Whichever process needs it first starts it; the one that leads stops it."""

    def __init__(self, folder: Path, make: Callable[[Path], Cluster]) -> None:
        """All processes of the run name the same `folder`."""
        self._folder = folder
        self._make = make
        self._url = ""
        self._templates: dict[str, str] = {}

    def superuser_url(self, database: str = "postgres") -> str:
        """A URL that may do everything; starts the cluster when nobody has."""
        if not self._url:
            with _locked(self._folder / "postgres.lock"):
                known = self._folder / "postgres.url"
                if not known.exists():
                    cluster = self._make(self._folder / "postgres")
                    in_thread(cluster.start())
                    known.write_text(cluster.superuser_url(), encoding="utf-8")
                self._url = known.read_text(encoding="utf-8")
        return with_path(self._url, database)

    def stop(self) -> None:
        """Stop the cluster when it was started; the leading process calls it once, at the end."""
        if (self._folder / "postgres.url").exists():
            in_thread(self._make(self._folder / "postgres").stop())

    def fresh(self, service: str, package: str | None = None) -> DatabaseUrls:
        """A new database with all migrations of `package` (None: empty), for the roles of `service`."""
        template = self._template(service, package)
        database = f"{service}_{uuid4().hex[:12]}"
        in_thread(self._clone(template, database, service))
        return self._urls(service, database)

    def drop(self, urls: DatabaseUrls) -> None:
        """Throw a database away, with whoever is still connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{database_of(urls)}" WITH (FORCE)')

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement as the superuser."""
        in_thread(_execute(self.superuser_url(database), statement))

    def shift_time(self, urls: DatabaseUrls, shift: timedelta) -> None:
        """Let `venus_now()` run ahead by `shift` in one database; sessions from before are cut so that all see it."""
        self.execute(f"ALTER DATABASE \"{database_of(urls)}\" SET venus.shift = '{shift.total_seconds()} seconds'")
        self.cut_sessions(urls)

    def cut_sessions(self, urls: DatabaseUrls) -> None:
        """Terminate every session of one database, as an operator or a failing server would."""
        self.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "  # noqa: S608  our own name
            f"WHERE datname = '{database_of(urls)}' AND pid <> pg_backend_pid()"
        )

    def _urls(self, service: str, database: str) -> DatabaseUrls:
        url = self.superuser_url()
        return DatabaseUrls(
            service=as_role(url, f"{service}_service", _PASSWORD, database),
            migrator=as_role(url, f"{service}_migrator", _PASSWORD, database),
        )

    def _template(self, service: str, package: str | None) -> str:
        """Made once per run, by the first process that wants it."""
        name = f"template_{service}" + (f"_{package.replace('.', '_')}" if package else "")
        if name not in self._templates:
            with _locked(self._folder / f"{name}.lock"):
                ready = self._folder / f"{name}.ready"
                if not ready.exists():
                    in_thread(_make_template(self.superuser_url(), name, service, package))
                    ready.touch()
            self._templates[name] = name
        return name

    async def _clone(self, template: str, database: str, service: str) -> None:
        session = await asyncpg.connect(self.superuser_url())
        try:
            # By copying files: with fsync off the checkpoint that this asks for costs nothing.
            await session.execute(
                f'CREATE DATABASE "{database}" OWNER "{service}_migrator" TEMPLATE "{template}" STRATEGY file_copy'
            )
            await open_database(session, database, f"{service}_service")
        finally:
            await session.close()


async def _make_template(superuser_url: str, name: str, service: str, package: str | None) -> None:
    await _execute(superuser_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    urls = await create_service(superuser_url, service, _PASSWORD, _PASSWORD, database=name)
    if package is not None:
        await migrate(urls.migrator, package)


async def _execute(url: str, statement: str) -> None:
    session = await asyncpg.connect(url)
    try:
        await session.execute(statement)
    finally:
        await session.close()


def database_of(urls: DatabaseUrls) -> str:
    """The name of the database."""
    return urls.service.rpartition("/")[2]


def in_thread(work: Coroutine[object, object, Result]) -> Result:
    """Run a coroutine on a loop of its own, from code that may itself stand on one."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


def new_run_folder() -> Path:
    """A private folder for one test run, under a short path."""
    place = Path(tempfile.gettempdir()) / f"venus-tests-{os.geteuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=place))


def abandoned_runs() -> list[Path]:
    """The folders of runs that were killed before they could clean up."""
    place = Path(tempfile.gettempdir()) / f"venus-tests-{os.geteuid()}"
    runs = list(place.iterdir()) if place.is_dir() else []
    return [run for run in runs if not Path("/proc", run.name.partition("-")[0]).exists()]


def remove_run_folder(folder: Path) -> None:
    """Remove a run's folder."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(file: Path) -> Generator[None]:
    """One process at a time."""
    with file.open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """A private key file per service, and one JWKS file with the public halves."""

    key_files: Mapping[str, Path]
    jwks_file: Path


def make_service_keys(folder: Path, names: Sequence[str]) -> ServiceKeys:
    """Make an Ed25519 key pair for each name: `<name>.pem` (0600) and `services.jwks.json` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    key_files: dict[str, Path] = {}
    public: list[dict[str, str]] = []
    for name in names:
        key = Ed25519PrivateKey.generate()
        file = key_files[name] = folder / f"{name}.pem"
        file.touch(mode=0o600)
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        point = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64.urlsafe_b64encode(point).rstrip(b"=").decode()
        public.append({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": name, "x": x})
    jwks_file = folder / "services.jwks.json"
    jwks_file.write_text(json.dumps({"keys": public}, indent=2), encoding="utf-8")
    return ServiceKeys(key_files, jwks_file)


def metric(name: str, **labels: str) -> float:
    """The present value of a Prometheus sample; 0 when there is none yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
