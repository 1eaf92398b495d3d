"""`fast-statement` and `fast-bill`: what the templates `statement` and `bill` show, drawn directly (`tagged`).

The same values, words and sums; a quarter of the work. What they look like cannot be changed by a template.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Any, Final

from gateway import languages
from gateway.errors import GatewayError, Reason
from gateway.pdf import tagged
from gateway.pdf.tagged import HEIGHT, WIDTH, Sheet

LEFT, RIGHT, TOP, BOTTOM = 62.36, WIDTH - 51.02, 56.69, HEIGHT - 70.0
INK: Final = "#14324f"
FAINT: Final = (0.357, 0.420, 0.478)
PALE: Final = (0.788, 0.827, 0.863)
LEADING: Final = 13.0


class _Values:
    """What was given, with an error that names what is missing or wrong and not what it is."""

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self._values, self._place = values, place

    def text(self, name: str, default: str | None = None) -> str:
        value = self._values.get(name)
        if value is None or value == "":
            if default is None:
                raise self.wrong(name, "is missing")
            return default
        return str(value)

    def number(self, name: str) -> Decimal:
        try:
            value = Decimal(self.text(name))
        except InvalidOperation:
            raise self.wrong(name, "is not a decimal number such as 12.50") from None
        if not value.is_finite() or not -20 < value.adjusted() < 20:
            raise self.wrong(name, "is not a valid amount")
        return value

    def day(self, name: str) -> date:
        try:
            return date.fromisoformat(self.text(name))
        except ValueError:
            raise self.wrong(name, "is not a date such as 2026-11-30") from None

    def colour(self, name: str, default: str) -> tagged.Colour:
        text = self.text(name, default)
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
            raise self.wrong(name, "is not a colour such as #14324f")
        red, green, blue = bytes.fromhex(text[1:])
        return round(red / 255, 3), round(green / 255, 3), round(blue / 255, 3)

    def several(self, name: str) -> "list[_Values]":
        value = self._values.get(name) or []
        try:
            rows = json.loads(value) if isinstance(value, str) else value
            return [_Values(dict(row), f"{name} {number}: ") for number, row in enumerate(rows, 1)]
        except (ValueError, TypeError):
            raise self.wrong(name, "is not a list") from None

    def parted(self, name: str) -> list[str]:
        value = self._values.get(name) or []
        return [str(one) for one in value] if isinstance(value, list) else [
            one.strip() for one in str(value).replace("\n", ";").split(";")]

    def wrong(self, name: str, what: str) -> GatewayError:
        return GatewayError(Reason.PDF_NOT_MADE, f"{self._place}`{name}` {what}")


class _Letter:
    """A sheet with the bank above, and the place where the next thing goes."""

    def __init__(self, values: _Values, language: str, at: datetime, title: str) -> None:
        self.values, self.language, self.words = values, language, _words(language)
        self.formats = languages.words(language, "formats")
        self.bank, self.ink = values.text("bank"), values.colour("colour", INK)
        self.sheet = Sheet(title, self.bank, language, at)
        self.sheet.page()
        self.y = TOP
        self._title = title

    def head(self, subtitle: str, side: Sequence[tuple[str, str]]) -> None:
        """The bank, the address, facts beside it, the title."""
        sheet, body, values = self.sheet, self.sheet.body, self.values
        sheet.text(sheet.tag("P", body), LEFT, self.y + 12, self.bank, 13, bold=True, colour=self.ink)
        sheet.rule(LEFT, RIGHT, self.y + 20, 2, self.ink)
        top = self.y + 54
        sender = ", ".join([self.bank, *values.parted("bank_address")])
        sheet.text(sheet.tag("P", body), LEFT, top, sheet.wrapped(sender, 240, 7.5)[0], 7.5, colour=FAINT)
        address, y = sheet.tag("P", body), top + 18
        for line in [values.text("name"), *values.parted("address")]:
            for part in sheet.wrapped(line, 240, 10):
                sheet.text(address, LEFT, y, part)
                y += LEADING
        other = self.facts(side, RIGHT - 244, top)
        self.y = max(y, other) + 34
        heading = sheet.tag("H1", body)
        sheet.bookmark(self._title, self.y)
        for part in sheet.wrapped(self._title, RIGHT - LEFT, 19, bold=True):
            sheet.text(heading, LEFT, self.y, part, 19, bold=True, colour=self.ink)
            self.y += 24
        sheet.text(sheet.tag("P", body), LEFT, self.y - 6, subtitle, 11, colour=FAINT)
        self.y += 24

    def facts(self, pairs: Iterable[tuple[str, str]], x: float, y: float) -> float:
        """A word and a value to each line; where it ends."""
        kept = [pair for pair in pairs if pair[1]]
        column = x + max(self.sheet.width(name, 10) for name, _ in kept) + 14
        for name, value in kept:
            both = self.sheet.tag("P", self.sheet.body)
            self.sheet.text(both, x, y, name, colour=FAINT)
            for part in self.sheet.wrapped(value, RIGHT - column, 10):
                self.sheet.text(both, column, y, part)
                y += LEADING
        return y

    def heading(self, words: str) -> None:
        """Of the second level, with room for something below it."""
        self.room(50)
        self.sheet.bookmark(words, self.y)
        self.sheet.text(self.sheet.tag("H2", self.sheet.body), LEFT, self.y, words, 11.5, bold=True, colour=self.ink)
        self.y += 18

    def paragraph(self, words: str, size: float = 10) -> None:
        """As wide as the page."""
        tag = self.sheet.tag("P", self.sheet.body)
        for line in self.sheet.wrapped(words, RIGHT - LEFT, size):
            if self.y > BOTTOM:  # its rest is another paragraph: a tag's text is on one page
                self.next_page()
                tag = self.sheet.tag("P", self.sheet.body)
            self.sheet.text(tag, LEFT, self.y, line, size)
            self.y += size * 1.3
        self.y += 4

    def room(self, height: float) -> bool:
        """A new page if there is less than so much left of this one: then True."""
        if self.y + height <= BOTTOM:
            return False
        self.next_page()
        return True

    def next_page(self) -> None:
        """Begins it."""
        self.sheet.page()
        self.y = TOP + 10

    def sums(self, pairs: Sequence[tuple[str, str]]) -> None:
        """The last one is the one that counts."""
        self.room(len(pairs) * 16 + 8)
        self.y += 12
        x = RIGHT - 230
        for index, (name, value) in enumerate(pairs):
            last = index == len(pairs) - 1
            if last:
                self.sheet.rule(x, RIGHT, self.y - 11.5, 1, self.ink)
            tag = self.sheet.tag("P", self.sheet.body)
            self.sheet.text(tag, x + 4, self.y, name, bold=last)
            self.sheet.text(tag, RIGHT - 4, self.y, value, bold=last, right=True)
            self.y += 16
        self.y += 10

    def notes(self) -> None:
        """Below all else."""
        if found := self.values.parted("notes"):
            self.heading(self.words["notes"])
            for one in found:
                self.paragraph(one, 9)

    def finish(self) -> bytes:
        """With the number of each page."""
        sheet, pages = self.sheet, len(self.sheet.pages)
        footer = self.values.text("footer", " · ".join(
            one for one in (self.bank, *self.values.parted("bank_address"), self.values.text("contact", "")) if one))
        for page in range(pages):
            for index, line in enumerate(sheet.wrapped(footer, 380, 8)[:2]):
                sheet.text(None, LEFT, HEIGHT - 36 + index * 10, line, 8, colour=FAINT, page=page)
            sheet.text(None, RIGHT, HEIGHT - 36, f"{self.words['page']} {page + 1} {self.words['of']} {pages}", 8,
                       colour=FAINT, right=True, page=page)
        return sheet.finish()

    def day(self, value: date) -> str:
        """As it is written in the language."""
        months = self.formats["months_short"].split()
        return self.formats["date"].format(day=value.day, month=value.month, month_short=months[value.month - 1],
                                           year=value.year)

    def amount(self, value: Decimal, *, signed: bool = False) -> str:
        """With two places."""
        text = f"{abs(value).quantize(Decimal('0.01'), ROUND_HALF_UP):,.2f}"
        sign = "\u2212" if value < 0 else "+" if signed and value > 0 else ""
        return sign + text.translate({ord(","): self.formats["group"], ord("."): self.formats["point"]})


class _Table:
    """Rows below a head that each page shows again, and that is read aloud once."""

    def __init__(self, letter: _Letter, widths: Sequence[float], rights: Sequence[bool], names: Sequence[str]) -> None:
        """`widths` in points, 0 = the rest; `rights`: which columns end, rather than begin, at the same place."""
        self._letter, self._names, self._rights = letter, names, rights
        rest = RIGHT - LEFT - sum(widths)
        self._widths = [width or rest for width in widths]
        self._lefts = [LEFT + sum(self._widths[:index]) for index in range(len(widths))]
        self._tag = letter.sheet.tag("Table", letter.sheet.body)
        self._head(self._tag)

    def row(self, cells: Sequence[Sequence[tuple[str, bool]]]) -> None:
        """Each cell is lines, each a text and whether it is bold."""
        letter, sheet = self._letter, self._letter.sheet
        lines = [[(part, bold) for text, bold in cell for part in sheet.wrapped(text, width - 8, 10, bold=bold)]
                 for cell, width in zip(cells, self._widths, strict=True)]
        height = max(map(len, lines)) * LEADING + 7
        if height > BOTTOM - TOP - 60:
            raise GatewayError(Reason.PDF_NOT_MADE, "a row that is higher than a page")
        if letter.room(height):
            self._head(None)
        row = sheet.tag("TR", self._tag)
        for cell, left, width, right in zip(lines, self._lefts, self._widths, self._rights, strict=True):
            tag = sheet.tag("TD", row)
            for index, (text, bold) in enumerate(cell):
                sheet.text(tag, left + width - 4 if right else left + 4, letter.y + index * LEADING, text, bold=bold,
                           right=right)
        letter.y += height
        sheet.rule(LEFT, RIGHT, letter.y - 12, 0.5, PALE)

    def _head(self, table: tagged.Tag | None) -> None:
        letter, sheet = self._letter, self._letter.sheet
        row = sheet.tag("TR", table) if table is not None else None
        for name, left, width, right in zip(self._names, self._lefts, self._widths, self._rights, strict=True):
            tag = sheet.tag("TH", row, "/A<</O/Table/Scope/Column>>") if row is not None else None
            sheet.text(tag, left + width - 4 if right else left + 4, letter.y, name, 9, bold=True, colour=letter.ink,
                       right=right)
        sheet.rule(LEFT, RIGHT, letter.y + 5, 1, letter.ink)
        letter.y += 19


def _statement(values: _Values, language: str, at: datetime) -> bytes:
    words, rows = _words(language), values.several("bookings")
    amounts = [row.number("amount") for row in rows]
    opening, closing = values.number("opening"), values.number("closing")
    if opening + sum(amounts) != closing:
        raise GatewayError(Reason.PDF_NOT_MADE, "the bookings do not lead from opening to closing")
    letter = _Letter(values, language, at, f"{words['statement']} {values.text('number', values.text('period', '-'))}")
    dates = (f"{letter.day(values.day('from'))} {words['to']} {letter.day(values.day('to'))}"
             if values.text("to", "") else values.text("period"))
    currency = values.text("currency")
    letter.head(dates, [
        (words["account"], values.text("account_name", "")), (words["iban"], _account(values.text("account"))),
        (words["bic"], values.text("bic", "")), (words["customer_number"], values.text("customer", "")),
        (words["period"], dates), (words["currency"], currency)])
    letter.heading(words["bookings"])
    if rows:
        table = _Table(letter, (66, 66, 0, 96), (False, False, False, True),
                       (words["date"], words["value_date"], words["text"], f"{words['amount']} {currency}"))
        for row, amount in zip(rows, amounts, strict=True):
            day = row.day("date")
            value = row.day("value") if row.text("value", "") else day
            party = row.text("party", "")
            what = [(party, True), (row.text("text"), False)] if party else [(row.text("text"), False)]
            table.row([[(letter.day(day), False)], [(letter.day(value), False)], what,
                       [(letter.amount(amount, signed=True), False)]])
    else:
        letter.paragraph(words["no_bookings"])
    letter.sums([
        (f"{words['opening']} {currency}", letter.amount(opening)),
        (words["credits"], letter.amount(sum((one for one in amounts if one > 0), Decimal()), signed=True)),
        (words["debits"], letter.amount(sum((one for one in amounts if one < 0), Decimal()), signed=True)),
        (f"{words['closing']} {currency}", letter.amount(closing))])
    letter.notes()
    return letter.finish()


def _bill(values: _Values, language: str, at: datetime) -> bytes:
    words, rows, taxes = _words(language), values.several("lines"), values.several("taxes")
    net = sum((row.number("amount") for row in rows), Decimal())
    total, currency, number = values.number("total"), values.text("currency"), values.text("number")
    if net + sum(tax.number("amount") for tax in taxes) != total:
        raise GatewayError(Reason.PDF_NOT_MADE, "lines and taxes are not the total")
    letter = _Letter(values, language, at, f"{words['bill']} {number}")
    letter.head(f"{words['on']} {letter.day(values.day('date'))}", [
        (words["number"], number), (words["bill_date"], letter.day(values.day("date"))),
        (words["due"], letter.day(values.day("due")) if values.text("due", "") else ""),
        (words["customer_number"], values.text("customer", "")), (words["currency"], currency)])
    letter.heading(words["lines"])
    table = _Table(letter, (34, 0, 62, 80, 92), (False, False, True, True, True),
                   (words["position"], words["item"], words["quantity"], words["price"],
                    f"{words['amount']} {currency}"))
    for index, row in enumerate(rows, 1):
        amount = row.number("amount")
        price = row.number("price") if row.text("price", "") else amount
        table.row([[(str(index), False)], [(row.text("text"), False)], [(row.text("quantity", "1"), False)],
                   [(letter.amount(price), False)], [(letter.amount(amount), False)]])
    letter.sums([
        *([(words["net"], letter.amount(net))] if taxes else []),
        *((f"{words['tax']} {tax.text('rate')} %", letter.amount(tax.number("amount"))) for tax in taxes),
        (f"{words['total']} {currency}", letter.amount(total))])
    if values.text("pay_to", ""):
        letter.heading(words["how_to_pay"])
        letter.y = 14 + letter.facts([
            (words["payee"], values.text("payee", letter.bank)), (words["iban"], _account(values.text("pay_to"))),
            (words["bic"], values.text("bic", "")), (words["reference"], values.text("reference", number))],
            LEFT, letter.y)
    else:
        letter.paragraph(words["direct_debit"])
    letter.notes()
    return letter.finish()


def _account(text: str) -> str:
    letters = text.replace(" ", "")
    return " ".join(letters[at:at + 4] for at in range(0, len(letters), 4))


def _words(language: str) -> Mapping[str, str]:
    return languages.words(language, "documents")


TEMPLATES: Final[Mapping[str, Callable[[_Values, str, datetime], bytes]]] = {
    "fast-bill": _bill, "fast-statement": _statement}


def make(template: str, language: str, values: Mapping[str, Any], at: datetime) -> bytes:
    """The PDF; `values` as plain.of leaves them. GatewayError(PDF_NOT_MADE)."""
    try:
        with tagged.drawing, localcontext() as exact:
            exact.prec = 60
            return TEMPLATES[template](_Values(values, ""), languages.known(language), at)
    except GatewayError as error:
        raise GatewayError(error.reason, f"{template}: {error.detail}") from None
