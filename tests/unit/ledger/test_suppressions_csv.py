"""Lists of suppressions: what is read of anybody's CSV, line by line."""

import io
from datetime import UTC, datetime

import pytest

from services.ledger.marking import Wish
from services.ledger.policy import SUPPRESSED_BY_HAND, Standing, State
from services.ledger.suppressions_csv import Listed, Passed, read_wishes, write_head, write_rows
from shared.contacts import Unreadable, harmless, read_address, restored
from shared.errors import ConfigurationError, InvalidAddress

OWN = "address,state,reason,since,soft\n"


def read(text: str, column: str | None = None) -> list[Wish | Passed | Unreadable]:
    return list(read_wishes(io.StringIO(text, newline=""), "why", column))


def addresses(text: str, column: str | None = None) -> list[str | int]:
    """Of each row its address, or the line of one that has none."""
    return [row.recipient if isinstance(row, Wish) else row.line for row in read(text, column)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("email\nann@example.com\n", ["ann@example.com"]),
        ("\ufeffE-Mail;name\r\nANN@Example.com;Ann\r\n", ["ann@example.com"]),
        ("name\temail\nAnn\tann@example.com", ["ann@example.com"]),
        ('name,email\n"Ann\nBerg",ann@example.com\nBob,nobody\n', ["ann@example.com", 4]),
        ("email\n\n\nann@example.com\n,\n", ["ann@example.com", 5]),
        ("email,name\n'=ann@example.com,x\n=bob@example.com,x\n'ann@example.com,x\n",
         ["=ann@example.com", "=bob@example.com", "'ann@example.com"]),
        ("name,email\nshort\nx,ann@example.com\n", [2, "ann@example.com"]),
        ("email\n\udcff@example.com\nann@example.com\n", [2, "ann@example.com"]),
    ],
)  # fmt: skip
def test_any_list(text: str, found: list[str | int]) -> None:
    assert addresses(text) == found


def test_another_column() -> None:
    assert addresses("email,work\nx@example.com,y@example.com\n", "Work") == ["y@example.com"]


def test_a_quote_that_is_not_closed_hides_no_row() -> None:
    swallowed = 'email,name\na@example.com,"Open\nb@example.com,B\nc@example.com,"C"\nd@example.com,D\n'
    (bad, last) = read(swallowed)
    assert isinstance(bad, Unreadable)
    assert (bad.line, "up to line 4" in bad.cause) == (2, True)
    assert last == Wish("d@example.com", "why")
    assert addresses('email,name\na@example.com,"Open\nb@example.com,B\n') == [2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("name,phone\n", "no column is named email"),
        ("email,email\n", "2 columns are named"),
        ("\udcff\udcfee\x00m\x00", "looks like UTF-16"),
        ('"email"x,y\n', "is not CSV"),
    ],
)
def test_what_is_no_list(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(text)


class TestOwn:
    def test_states(self) -> None:
        text = OWN + "a@x.org,bounced,user-unknown,2026,0\nb@x.org,suppressed,,,0\nc@x.org,ok,,,3\nd@x.org,NY,,,0\n"
        assert read(text) == [
            Wish("a@x.org", "why (there: bounced, user-unknown, 2026)", is_bounced=True),
            Wish("b@x.org", "why (there: suppressed)"),
            Passed(4),
            Unreadable(5, "its state is 'NY', not one of ok, bounced, suppressed"),
        ]

    def test_a_state_in_somebody_elses_list_is_no_state_of_ours(self) -> None:
        assert addresses("email,state\nann@example.com,NY\nbob@example.com,ok\n") == [
            "ann@example.com",
            "bob@example.com",
        ]

    def test_columns_in_another_order_and_an_apostrophe_of_its_own(self) -> None:
        assert read("state,soft,since,reason,address\nbounced,0,,,''=x@x.org\n") == [
            Wish("'=x@x.org", "why (there: bounced)", is_bounced=True)
        ]


def test_what_is_written() -> None:
    file = io.StringIO(newline="")
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    write_head(file)
    write_rows(file, [Listed("=cmd@x.org", State.BOUNCED, "-1+1", since, 5, False, "@sum\r\nof\tall", "\tme")])
    assert file.getvalue() == (
        "address,state,reason,since,soft,hard,why,who\n"
        "'=cmd@x.org,bounced,'-1+1,2026-03-01T12:00:00+00:00,5,no,'@sum of all,me\n"
    )


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "＝1", "＋1", "－1", "＠1", "'", "''=1"])
def test_harmless_cells(cell: str) -> None:
    assert harmless(cell) == "'" + cell
    assert restored(harmless(cell)) == cell


def test_other_cells_stay() -> None:
    assert [harmless(cell) for cell in ("", "x=1", " =1", "user-unknown")] == ["", "x=1", " =1", "user-unknown"]


def test_addresses_in_cells() -> None:
    assert read_address("'+tag@x.org") == "+tag@x.org"
    assert read_address("'tag@x.org") == "'tag@x.org"
    with pytest.raises(InvalidAddress):
        read_address("'")


@pytest.mark.parametrize(
    ("standing", "from_bounced", "is_met"),
    [
        (Standing(), True, False),
        (Standing(State.BOUNCED), False, False),
        (Standing(State.BOUNCED), True, True),
        (Standing(State.SUPPRESSED, reason=SUPPRESSED_BY_HAND), False, True),
        (Standing(State.SUPPRESSED, reason="complaint"), False, False),
    ],
)
def test_which_wishes_are_met(standing: Standing, from_bounced: bool, is_met: bool) -> None:
    assert Wish("a@x.org", "why", from_bounced).is_met_by(standing) is is_met
