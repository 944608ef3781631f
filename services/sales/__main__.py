"""Starts sales: `python -m services.sales`."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from services.sales.handlers import SalesHandlers
from services.sales.settings import Settings
from services.sales.store import Tx
from venus.sales.v1 import sales_service_pb2, sales_service_pb2_grpc
from venus.type.v1 import access_pb2
from venus_kit.participant import participant
from venus_kit.process import run
from venus_kit.server import Running

NAME: Final = "sales"


def running(settings: Settings) -> AbstractAsyncContextManager[Running]:
    """The service, up until the block ends; then what is in flight is finished."""
    return participant(
        settings,
        name=NAME,
        service=sales_service_pb2.DESCRIPTOR.services_by_name["SalesService"],
        access=access_pb2.access,
        register=sales_service_pb2_grpc.add_SalesServiceServicer_to_server,
        tx=Tx,
        handlers=SalesHandlers,
    )


if __name__ == "__main__":
    run(NAME, Settings, running)
