"""Starts inventory: `python -m services.inventory`."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from services.inventory.handlers import InventoryHandlers
from services.inventory.settings import Settings
from services.inventory.store import Tx
from venus.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc
from venus.type.v1 import access_pb2
from venus_kit.participant import participant
from venus_kit.process import run
from venus_kit.server import Running

NAME: Final = "inventory"


def running(settings: Settings) -> AbstractAsyncContextManager[Running]:
    """The service, up until the block ends; then what is in flight is finished."""
    return participant(
        settings,
        name=NAME,
        service=inventory_service_pb2.DESCRIPTOR.services_by_name["InventoryService"],
        access=access_pb2.access,
        register=inventory_service_pb2_grpc.add_InventoryServiceServicer_to_server,
        tx=Tx,
        handlers=InventoryHandlers,
    )


if __name__ == "__main__":
    run(NAME, Settings, running)
