"""Every annotated RPC as a REST endpoint, put together from its descriptors when the gateway starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from services.gateway.calls import Call, UnaryCall
from services.gateway.gathering import Gathering, GatherLimits
from services.gateway.replies import ReplyWriter
from services.gateway.routes import Route, RouteTable, routes_of
from services.gateway.transcoding import RequestReader
from venus.type.v1 import access_pb2
from venus_kit.access import AccessRules, Rule, path_of


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One RPC over REST."""

    name: str
    """The RPC, for metrics and spans: never the path, which holds ids."""
    rule: Rule
    reader: RequestReader
    writer: ReplyWriter
    call: Call


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A service that the gateway forwards to."""

    descriptor: ServiceDescriptor
    channel: grpc.aio.Channel


class Endpoints:
    """All endpoints, and what gathers calls for some of them."""

    def __init__(self, neighbours: Sequence[Neighbour], *, max_depth: int, gathering: GatherLimits) -> None:
        """Compile the annotations of the neighbours' RPCs; `max_depth` bounds the nesting of a JSON body.

        Errors: KeyError, TypeError or ValueError for an annotation that cannot be served as it stands.
        """
        self.table: RouteTable[Endpoint] = RouteTable()
        self._gatherings: dict[str, Gathering] = {}
        self._limits = gathering
        rules = AccessRules(access_pb2.access, [neighbour.descriptor for neighbour in neighbours])
        for neighbour in neighbours:
            for route in routes_of([neighbour.descriptor]):
                self.table.add(route.verb, route.template, self._endpoint(neighbour, route, rules, max_depth))

    async def close(self) -> None:
        """Let go of what is under way."""
        for gathering in self._gatherings.values():
            await gathering.close()

    def _endpoint(self, neighbour: Neighbour, route: Route, rules: Mapping[str, Rule], max_depth: int) -> Endpoint:
        method = route.method
        rule = rules[path_of(method)]
        if not rule.for_people or not rule.permission:
            raise ValueError(f"{method.full_name}: only what people may call, with a permission, is reached over REST")
        rest = _rest_of(method)
        return Endpoint(
            name=method.name,
            rule=rule,
            reader=RequestReader(
                method.input_type, variables=route.template.variables, body=route.body, max_depth=max_depth
            ),
            writer=ReplyWriter(method.output_type, rest.accepted_when),
            call=self._call(neighbour, method, rest.gathered_by),
        )

    def _call(self, neighbour: Neighbour, method: MethodDescriptor, gathered_by: str) -> Call:
        if not gathered_by:
            return UnaryCall(neighbour.channel, method)
        path = path_of(method)
        if path not in self._gatherings:  # one for all bindings of the RPC
            batch = neighbour.descriptor.methods_by_name[gathered_by]
            self._gatherings[path] = Gathering(neighbour.channel, method, batch, self._limits)
        return self._gatherings[path]


def _rest_of(method: MethodDescriptor) -> access_pb2.Rest:
    return cast("Any", method.GetOptions()).Extensions[access_pb2.rest]
