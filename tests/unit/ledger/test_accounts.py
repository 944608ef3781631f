from uuid import UUID

import pytest

from services.ledger.domain.accounts import (
    CHAIN,
    Account,
    AccountKind,
    AccountName,
    Move,
    PaymentMethod,
    Sale,
    moves_of,
)

SALE_ID = UUID("018f2f7e-0000-7000-8000-000000000001")
CUSTOMER_ID = UUID("018f2f7e-0000-7000-8000-00000000000c")


@pytest.mark.parametrize("method", [PaymentMethod.CASH, PaymentMethod.UPI, PaymentMethod.CARD, PaymentMethod.BANK])
def test_a_paid_sale_fills_the_till_of_its_method(method: PaymentMethod) -> None:
    moves = moves_of(3, Sale(SALE_ID, method, 72500))

    assert moves == (
        Move(
            debit=AccountName(f"store.3.till.{method.value.lower()}", 3, AccountKind.TILL),
            credit=AccountName("store.3.sales", 3, AccountKind.SALES),
            amount_paise=72500,
        ),
    )


def test_a_paid_sale_touches_no_customer_even_when_one_is_named() -> None:
    (move,) = moves_of(3, Sale(SALE_ID, PaymentMethod.CASH, 72500, CUSTOMER_ID))

    assert move.debit.kind is AccountKind.TILL


def test_a_sale_on_credit_is_owed_by_the_customer_to_the_chain() -> None:
    (move,) = moves_of(3, Sale(SALE_ID, PaymentMethod.CREDIT, 360000, CUSTOMER_ID))

    assert move.debit == AccountName(f"customer.{CUSTOMER_ID}", CHAIN, AccountKind.CUSTOMER)
    assert move.credit == AccountName("store.3.sales", 3, AccountKind.SALES)


def test_a_sale_on_credit_without_a_customer_is_a_bug() -> None:
    with pytest.raises(ValueError, match="customer"):
        moves_of(3, Sale(SALE_ID, PaymentMethod.CREDIT, 360000))


@pytest.mark.parametrize("method", PaymentMethod)
def test_a_sale_of_nothing_moves_no_money(method: PaymentMethod) -> None:
    assert moves_of(3, Sale(SALE_ID, method, 0, CUSTOMER_ID)) == ()


def test_an_account_counts_its_postings_and_keeps_both_sums() -> None:
    account = Account("store.1.till.cash", 1, 0, 0, 0).debited(500).credited(120)

    assert (account.debit_paise, account.credit_paise, account.balance_paise, account.sequence) == (500, 120, 380, 2)
