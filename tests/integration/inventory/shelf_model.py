"""A small inventory in memory, written without looking at the real one: what the words of the trade say, one by one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Cart = Mapping[str, tuple[int, int]]
"""Form to (grams, birds)."""


@dataclass
class ModelPool:
    grams: int
    birds: int
    held_grams: int = 0
    held_birds: int = 0
    sequence: int = 1

    def lacks(self, grams: int, birds: int) -> tuple[int, int]:
        return (
            max(0, grams - (self.grams - self.held_grams)),
            max(0, birds - (self.birds - self.held_birds)),
        )

    def move(self, grams: int, birds: int) -> None:
        self.grams += grams
        self.birds += birds
        self.sequence += 1

    def hold(self, grams: int, birds: int) -> None:
        self.held_grams += grams
        self.held_birds += birds


@dataclass
class ModelReservation:
    state: str
    cart: Cart | None
    ran_out: bool = False


@dataclass
class ModelShelf:
    pools: dict[str, ModelPool]
    reservations: dict[int, ModelReservation] = field(default_factory=dict[int, ModelReservation])

    def reserve(self, number: int, cart: Cart) -> str:
        known = self.reservations.get(number)
        if known is not None:
            if known.cart is not None and known.cart != cart:
                return "IDEMPOTENCY_MISMATCH"
            if known.state == "RELEASED":
                return "RESERVATION_RELEASED"
            if known.state in ("HELD", "COMMITTED"):
                known.ran_out = False
                return ""
        self._reclaim(self._short(cart))
        if self._short(cart):
            return "INSUFFICIENT_STOCK"
        self._hold(cart, 1)
        self.reservations[number] = ModelReservation("HELD", cart)
        return ""

    def release(self, number: int) -> str:
        known = self.reservations.setdefault(number, ModelReservation("RELEASED", None))
        if known.state == "COMMITTED":
            return "RESERVATION_COMMITTED"
        if known.state == "HELD":
            self._hold(known.cart or {}, -1)
        known.state = "RELEASED"
        return ""

    def commit(self, number: int) -> str:
        known = self.reservations.get(number)
        if known is None:
            return "RESERVATION_NOT_FOUND"
        if known.state == "RELEASED":
            return "RESERVATION_RELEASED"
        if known.state == "COMMITTED":
            return ""
        cart = known.cart or {}
        was, known.state = known.state, "COMMITTED"
        if was == "HELD":
            self._hold(cart, -1)
        else:
            self._reclaim(self._short(cart))
        for form, (grams, birds) in cart.items():
            lacking = self.pools[form].lacks(grams, birds)
            if any(lacking):
                self.pools[form].move(*lacking)
            self.pools[form].move(-grams, -birds)
        return ""

    def adjust(self, form: str, grams: int, birds: int) -> str:
        self._reclaim({form})
        if any(self.pools[form].lacks(-grams, -birds)):
            return "INSUFFICIENT_STOCK"
        self.pools[form].move(grams, birds)
        return ""

    def count(self, form: str, grams: int, birds: int) -> str:
        self._reclaim({form})
        pool = self.pools[form]
        if pool.held_grams or pool.held_birds:
            return "COUNT_DURING_SALE"
        if (pool.grams, pool.birds) != (grams, birds):
            pool.move(grams - pool.grams, birds - pool.birds)
        return ""

    def time_passes(self) -> None:
        for known in self.reservations.values():
            known.ran_out = known.state == "HELD"

    def _short(self, cart: Cart) -> set[str]:
        return {form for form, amount in cart.items() if any(self.pools[form].lacks(*amount))}

    def _reclaim(self, forms: set[str]) -> None:
        for known in self._run_out():
            if forms & set(known.cart or {}):
                known.state = "EXPIRED"
                self._hold(known.cart or {}, -1)

    def _run_out(self) -> Iterator[ModelReservation]:
        return (known for known in self.reservations.values() if known.state == "HELD" and known.ran_out)

    def _hold(self, cart: Cart, sign: int) -> None:
        for form, (grams, birds) in cart.items():
            self.pools[form].hold(sign * grams, sign * birds)
