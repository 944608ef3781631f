"""Starts ledger: `python -m services.ledger`."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from services.ledger.handlers import LedgerHandlers
from services.ledger.settings import Settings
from services.ledger.store import Tx
from venus.ledger.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from venus.type.v1 import access_pb2
from venus_kit.participant import participant
from venus_kit.process import run
from venus_kit.server import Running

NAME: Final = "ledger"


def running(settings: Settings) -> AbstractAsyncContextManager[Running]:
    """The service, up until the block ends; then what is in flight is finished."""
    return participant(
        settings,
        name=NAME,
        service=ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"],
        access=access_pb2.access,
        register=ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server,
        tx=Tx,
        handlers=LedgerHandlers,
    )


if __name__ == "__main__":
    run(NAME, Settings, running)
