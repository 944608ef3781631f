"""Who may call what: the rule stands in the proto as a method option, and every service enforces it here.

The option's message (`caller`, `permission`, `store_fields`, `store_of_row`, `no_store`, `services`) is handed in by
`__main__`; the kit knows its shape but not the proto.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from venus_kit.errors import NotSignedIn, PermissionMissing, StoreNotFound

_ITEMS: Final = "items."
USER: Final = "CALLER_USER"
INTERNAL: Final = "CALLER_INTERNAL"


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in person: what the gateway read from the token and vouches for."""

    subject: str
    permissions: frozenset[str] = field(default_factory=frozenset[str])
    all_stores: bool = False
    store_ids: frozenset[int] = field(default_factory=frozenset[int])
    device_id: str = ""

    def may(self, permission: str) -> bool:
        """Whether the person has the permission."""
        return permission in self.permissions

    def sees(self, store_id: int) -> bool:
        """Whether the store is in the person's scope."""
        return self.all_stores or store_id in self.store_ids


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made this call: a service of the suite, and the person it acts for when there is one."""

    service: str
    person: Person | None = None

    @property
    def name(self) -> str:
        """The person where there is one, else the service; written beside every effect."""
        return self.person.subject if self.person else self.service


_current: ContextVar[Caller] = ContextVar("venus_caller")


def current_caller() -> Caller:
    """The caller of the RPC that is being served; LookupError outside of one."""
    return _current.get()


def set_caller(caller: Caller) -> None:
    """Set by the server's interceptor, once per RPC."""
    _current.set(caller)


class AccessOption(Protocol):
    """The shape of the proto option."""

    caller: int
    permission: str
    store_fields: Sequence[str]
    store_of_row: bool
    no_store: bool
    services: Sequence[str]


StoreReader = Callable[[Message], Iterable[int]]


@dataclass(frozen=True, slots=True)
class Rule:
    """The access rule of one RPC, compiled."""

    method: str
    for_people: bool
    permission: str
    services: frozenset[str]
    stores: tuple[StoreReader, ...]
    """Store ids that the request itself names."""
    item_stores: tuple[StoreReader, ...]
    """Store ids that one item of a batch names; each item carries its own person."""

    def check_service(self, service: str) -> None:
        """Raise PermissionMissing unless this service may call."""
        if self.services and service not in self.services:
            raise PermissionMissing(service=service, method=self.method)

    def check_person(self, person: Person | None, request: Message) -> None:
        """Raise NotSignedIn, PermissionMissing or StoreNotFound unless the person may make this request."""
        _check(person, self.permission, self.stores, request)

    def check_item(self, person: Person | None, item: Message) -> None:
        """The same for one item of a batch."""
        _check(person, self.permission, self.item_stores, item)


def _check(person: Person | None, permission: str, stores: Sequence[StoreReader], request: Message) -> None:
    if person is None:
        raise NotSignedIn
    if permission and not person.may(permission):
        raise PermissionMissing(permission=permission)
    for read in stores:
        for store_id in read(request):
            if not person.sees(store_id):
                raise StoreNotFound(store_id=store_id)


class AccessRules(Mapping[str, Rule]):
    """The rules of every RPC of some services, by full path `/package.Service/Method`."""

    def __init__(self, extension: Any, services: Iterable[ServiceDescriptor]) -> None:
        """Compile the option `extension` of every method; KeyError for one that declares none."""
        self._rules = {
            path_of(method): _compile(extension, method) for service in services for method in service.methods
        }

    def __getitem__(self, path: str) -> Rule:
        """The rule of one RPC."""
        return self._rules[path]

    def __iter__(self) -> Any:
        """The paths."""
        return iter(self._rules)

    def __len__(self) -> int:
        """How many RPCs."""
        return len(self._rules)


def path_of(method: MethodDescriptor) -> str:
    """`/package.Service/Method`, as gRPC names an RPC on the wire."""
    return f"/{method.containing_service.full_name}/{method.name}"


def _compile(extension: Any, method: MethodDescriptor) -> Rule:
    options = cast("Any", method.GetOptions())
    if not options.HasExtension(extension):
        raise KeyError(f"{method.full_name} declares no access")
    option = cast("AccessOption", options.Extensions[extension])
    caller_enum = cast("Any", option).DESCRIPTOR.fields_by_name["caller"].enum_type
    caller = caller_enum.values_by_number[option.caller].name
    if caller not in (USER, INTERNAL):
        raise KeyError(f"{method.full_name} does not say who may call it")
    of_items = [path.removeprefix(_ITEMS) for path in option.store_fields if path.startswith(_ITEMS)]
    of_request = [path for path in option.store_fields if not path.startswith(_ITEMS)]
    return Rule(
        method=method.name,
        for_people=caller == USER,
        permission=option.permission,
        services=frozenset(option.services),
        stores=tuple(_reader(path) for path in of_request),
        item_stores=tuple(_reader(path) for path in of_items),
    )


def _reader(path: str) -> StoreReader:
    names = path.split(".")

    def read(message: Message) -> Iterable[int]:
        found: list[Any] = [message]
        for name in names:
            found = [child for one in found for child in _children(one, name)]
        return found

    return read


def _children(message: Any, name: str) -> Iterable[Any]:
    value = getattr(message, name)
    return [value] if isinstance(value, int | Message) else value
