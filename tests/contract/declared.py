"""What the protos declare, RPC by RPC, with their comments."""

import functools
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc_tools
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)
from grpc_tools import protoc

from venus.type.v1 import access_pb2

ROOT: Final = Path(__file__).resolve().parents[2]
GOLDEN: Final = Path(__file__).with_name("rpcs.golden")
GROUP: Final = re.compile(r"([A-Z][A-Z0-9_]*(?:, [A-Z][A-Z0-9_]*)*) \(([A-Z_]+)\)")

_SERVICE: Final = FileDescriptorProto.SERVICE_FIELD_NUMBER
_METHOD: Final = 2  # field number of ServiceDescriptorProto.method


@dataclass(frozen=True)
class Rpc:
    """One RPC as its proto declares it; `comment` is one line per paragraph line, without slashes."""

    package: str
    service: str
    method: MethodDescriptorProto
    comment: str

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def full_name(self) -> str:
        return f"{self.package}.{self.service}/{self.method.name}"

    @property
    def access(self) -> access_pb2.Access:
        return self.method.options.Extensions[access_pb2.access]

    @property
    def rest(self) -> access_pb2.Rest:
        return self.method.options.Extensions[access_pb2.rest]

    @property
    def http(self) -> tuple[str, str] | None:
        """Verb and path; None for an RPC that has no REST form."""
        if not self.method.options.HasExtension(annotations_pb2.http):
            return None
        rule = self.method.options.Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        assert verb is not None
        return verb.upper(), str(getattr(rule, verb))

    @property
    def body(self) -> str:
        return self.method.options.Extensions[annotations_pb2.http].body

    @property
    def promise(self) -> str:
        """The comment before its errors."""
        return re.split(r"^Errors\b", self.comment, flags=re.MULTILINE)[0].strip()

    @property
    def errors(self) -> str:
        """The comment from `Errors` on, in one line; empty when it says nothing of errors."""
        _, *told = re.split(r"^(?=Errors\b)", self.comment, maxsplit=1, flags=re.MULTILINE)
        return " ".join(told[0].split()) if told else ""

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """(reason, gRPC code) of every error that the comment names."""
        return [(reason, code) for names, code in GROUP.findall(self.errors) for reason in names.split(", ")]


@functools.cache
def files() -> tuple[FileDescriptorProto, ...]:
    """Our proto files with their comments."""
    names = sorted(path.relative_to(ROOT / "protos").as_posix() for path in (ROOT / "protos").rglob("*.proto"))
    includes = [ROOT / "protos", ROOT / "third_party" / "protos", Path(grpc_tools.__file__).parent / "_proto"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.binpb"
        arguments = [f"-I{path}" for path in includes]
        status = protoc.main(["protoc", *arguments, "--include_source_info", f"--descriptor_set_out={out}", *names])
        assert status == 0
        return tuple(FileDescriptorSet.FromString(out.read_bytes()).file)


def rpcs() -> list[Rpc]:
    """Every RPC by full name."""
    return sorted((rpc for file in files() for rpc in _rpcs_of(file)), key=lambda rpc: rpc.full_name)


def _rpcs_of(file: FileDescriptorProto) -> Iterator[Rpc]:
    comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
    for s, service in enumerate(file.service):
        for m, method in enumerate(service.method):
            comment = comments.get((_SERVICE, s, _METHOD, m), "")
            text = "\n".join(line.strip() for line in comment.splitlines())
            yield Rpc(file.package, service.name, method, text)


@functools.cache
def messages() -> dict[str, DescriptorProto]:
    """Our messages by full name with a leading dot, as descriptors refer to them."""
    return {f".{file.package}.{message.name}": message for file in files() for message in file.message_type}


def field_at(message_type: str, path: str) -> FieldDescriptorProto | None:
    """The field at the end of a path such as `items.request.store_id`; None when there is no such path."""
    field: FieldDescriptorProto | None = None
    for name in path.split("."):
        fields = {f.name: f for f in messages()[message_type].field} if message_type in messages() else {}
        field = fields.get(name)
        if field is None:
            return None
        message_type = field.type_name
    return field


def golden() -> str:
    """One line per RPC: name, REST form, who may call it, whether it may be repeated."""
    lines = [" | ".join((rpc.full_name, _http(rpc), _access(rpc), _idempotency(rpc))) for rpc in rpcs()]
    return "\n".join(lines) + "\n"


def _http(rpc: Rpc) -> str:
    form = f"{' '.join(rpc.http)}{f' body {rpc.body}' if rpc.body else ''}" if rpc.http else "no REST"
    gathered = f", gathered by {rpc.rest.gathered_by}" if rpc.rest.gathered_by else ""
    accepted = f", 202 when {rpc.rest.accepted_when}" if rpc.rest.accepted_when else ""
    return form + gathered + accepted


def _access(rpc: Rpc) -> str:
    access = rpc.access
    who = access_pb2.Caller.Name(access.caller).removeprefix("CALLER_")
    words = [who, access.permission, f"from {', '.join(access.services)}" if access.services else ""]
    stores = [*access.store_fields, *(["store of row"] if access.store_of_row else [])]
    words.append(f"in {', '.join(stores)}" if stores else "no store" if access.no_store else "anywhere")
    return " ".join(word for word in words if word)


def _idempotency(rpc: Rpc) -> str:
    level = MethodOptions.IdempotencyLevel.Name(rpc.method.options.idempotency_level)
    return f"{level}, stream" if rpc.method.server_streaming else level
