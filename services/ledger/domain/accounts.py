"""The accounts, and which of them an event touches: the table of the trade's double entry."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

CHAIN: Final = 0
"""The store id of accounts that belong to the whole chain."""


class PaymentMethod(StrEnum):
    """How a customer pays."""

    CASH = "CASH"
    UPI = "UPI"
    CARD = "CARD"
    BANK = "BANK"
    CREDIT = "CREDIT"


class AccountKind(StrEnum):
    """What an account stands for."""

    TILL = "TILL"
    SALES = "SALES"
    CUSTOMER = "CUSTOMER"


@dataclass(frozen=True, slots=True)
class AccountName:
    """Which account: the code names it, store and kind go with the code."""

    code: str
    store_id: int
    kind: AccountKind


@dataclass(frozen=True, slots=True)
class Account:
    """One account as it stands: sums of all debits and credits in paise, and how many postings touched it."""

    code: str
    store_id: int
    debit_paise: int
    credit_paise: int
    sequence: int

    @property
    def balance_paise(self) -> int:
        """Debit - credit."""
        return self.debit_paise - self.credit_paise

    def debited(self, amount_paise: int) -> "Account":
        """The account after one more debit."""
        return Account(self.code, self.store_id, self.debit_paise + amount_paise, self.credit_paise, self.sequence + 1)

    def credited(self, amount_paise: int) -> "Account":
        """The account after one more credit."""
        return Account(self.code, self.store_id, self.debit_paise, self.credit_paise + amount_paise, self.sequence + 1)


@dataclass(frozen=True, slots=True)
class LockedAccount:
    """An account under its row lock; nothing may be posted to it with a time before `earliest_at`."""

    account: Account
    earliest_at: datetime


@dataclass(frozen=True, slots=True)
class Move:
    """An amount (paise, more than 0) that an event moves from the credited account to the debited one."""

    debit: AccountName
    credit: AccountName
    amount_paise: int


@dataclass(frozen=True, slots=True)
class Sale:
    """What the ledger needs of a sale; `customer_id` is set for CREDIT."""

    sale_id: UUID
    payment_method: PaymentMethod
    total_paise: int
    customer_id: UUID | None = None


def till(store_id: int, method: PaymentMethod) -> AccountName:
    """What a store took in by one method."""
    return AccountName(f"store.{store_id}.till.{method.lower()}", store_id, AccountKind.TILL)


def sales(store_id: int) -> AccountName:
    """What a store sold."""
    return AccountName(f"store.{store_id}.sales", store_id, AccountKind.SALES)


def customer(customer_id: UUID) -> AccountName:
    """What a customer owes, over all stores."""
    return AccountName(f"customer.{customer_id}", CHAIN, AccountKind.CUSTOMER)


def moves_of(store_id: int, sale: Sale) -> tuple[Move, ...]:
    """How a sale moves money; not at all when its total is 0."""
    if sale.total_paise == 0:
        return ()
    if sale.payment_method is PaymentMethod.CREDIT:
        if sale.customer_id is None:
            raise ValueError("a sale on credit needs a customer")
        taken = customer(sale.customer_id)
    else:
        taken = till(store_id, sale.payment_method)
    return (Move(debit=taken, credit=sales(store_id), amount_paise=sale.total_paise),)
