"""Who gets what when many want stock at once, and what goes out of the book when a hold is committed."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from services.inventory.domain.book import Book, Occasion, Reason
from services.inventory.domain.refusals import InsufficientStock
from services.inventory.domain.stock import Line, Pool, summed


def allocate(book: Book, carts: Sequence[Sequence[Line]]) -> list[InsufficientStock | None]:
    """Hold each cart whole or not at all, first come first served; None for a cart that is held.

    A refused cart takes nothing, so a smaller one behind it may still fit.
    """
    answers: list[InsufficientStock | None] = []
    for lines in carts:
        shortage = book.shortage(lines)
        if shortage is None:
            book.hold(lines)
        answers.append(shortage)
    return answers


def short_pools(book: Book, carts: Iterable[Sequence[Line]]) -> list[Pool]:
    """The open pools that cannot serve all carts together, sorted: where to look for holds that ran out."""
    together = summed(line for lines in carts for line in lines)
    return [
        line.pool for line in together if line.pool in book.levels and not book.levels[line.pool].lacks(line).is_nothing
    ]


def sell_held(book: Book, lines: Sequence[Line], occasion: Occasion) -> None:
    """Take goods out that are held."""
    book.free(lines)
    for line in lines:
        book.move(_negative(line), occasion)


def sell_unheld(book: Book, lines: Sequence[Line], occasion: Occasion) -> list[tuple[Line, int]]:
    """Take goods out whose hold ran out: they are gone already, so what a pool lacks is credited first.

    Answers the credits, each with the number of its movement.
    """
    corrections: list[tuple[Line, int]] = []
    for line in lines:
        lacking = book.levels[line.pool].lacks(line)
        if not lacking.is_nothing:
            credit = book.move(lacking, replace(occasion, reason=Reason.OVERSALE_CORRECTION))
            corrections.append((lacking, credit.after.sequence))
        book.move(_negative(line), occasion)
    return corrections


def _negative(line: Line) -> Line:
    return Line(line.pool, -line.weight_grams, -line.bird_count)
