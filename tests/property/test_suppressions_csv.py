"""What is exported is read back as it was, whatever an address, a reason or a person's word holds."""

import csv
import io
from datetime import UTC

from hypothesis import assume, given
from hypothesis import strategies as st

from services.ledger.marking import Wish
from services.ledger.policy import State
from services.ledger.suppressions_csv import Listed, Passed, read_wishes, write_head, write_rows
from shared.addresses import normalise_address
from shared.contacts import Unreadable, harmless, read_address, restored
from shared.errors import InvalidAddress

FORMULA = tuple("=+-@\t\r\n＝＋－＠")

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
tricky = st.text(st.sampled_from("=+-@\t\r\n'\"\\,; ab.ü＝"), max_size=12)
atoms = st.text(st.sampled_from("=+-'a.ü＝"), min_size=1, max_size=12)
local_parts = st.one_of(atoms, tricky, anything, tricky.map(lambda text: '"' + text.replace('"', '\\"') + '"'))


@st.composite
def recipients(draw: st.DrawFn) -> str:
    domain = draw(st.sampled_from(["x.org", "[127.0.0.1]", "bücher.example"]))
    try:
        return normalise_address(f"{draw(local_parts)}@{domain}")
    except InvalidAddress:
        return "=x@x.org"


texts = st.one_of(st.none(), tricky, anything)
listed = st.builds(
    Listed,
    recipients(),
    st.sampled_from(State),
    texts,
    st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
    st.integers(0, 9),
    st.booleans(),
    texts,
    texts,
)


def written(rows: list[Listed]) -> str:
    file = io.StringIO(newline="")
    write_head(file)
    write_rows(file, rows)
    return file.getvalue()


def outcome(row: Wish | Passed | Unreadable) -> tuple[str, bool] | str:
    return (row.recipient, row.is_bounced) if isinstance(row, Wish) else type(row).__name__


@given(st.lists(listed, max_size=8))
def test_addresses_and_states_come_back(rows: list[Listed]) -> None:
    # As bytes, as a file holds it.
    stream = io.TextIOWrapper(io.BytesIO(written(rows).encode()), "utf-8-sig", errors="surrogateescape", newline="")
    assert [outcome(row) for row in read_wishes(stream, "why")] == [
        "Passed" if row.state == State.OK else (row.recipient, row.state == State.BOUNCED) for row in rows
    ]


@given(st.lists(listed, min_size=1, max_size=4))
def test_no_cell_is_a_formula_and_no_row_is_two_lines(rows: list[Listed]) -> None:
    text = written(rows)
    assert len(text.split("\n")) == len(rows) + 2
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert [cell for cell in cells if cell.startswith(FORMULA)] == []


@given(st.one_of(tricky, anything))
def test_harmless_is_undone(cell: str) -> None:
    assert restored(harmless(cell)) == cell
    assert not harmless(cell).startswith(FORMULA)


@given(recipients())
def test_an_address_of_our_list_is_known_in_a_column_of_its_own(recipient: str) -> None:
    assume(not recipient.startswith("'"))
    assert read_address(harmless(recipient)) == recipient
