"""The mails that are kept, and the schema they are kept in."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import CliRunner
from sqlalchemy import Engine, inspect, update

from services.cli import main
from services.ledger.app import keep_up
from services.ledger.archive_sql import SqlArchive
from services.ledger.handler import ArchiveHandler, VerdictHandler
from services.ledger.ports import ArchivedMail
from services.ledger.projection_redis import RedisProjection
from services.ledger.runs_sql import SqlRuns
from services.ledger.store_sql import SqlVerdictStore
from shared.bus import Delivery, Message
from shared.errors import ConfigurationError
from shared.identity import READ_LIMIT_BYTES, raw_id
from shared.local_bus import LocalBus
from shared.suppressions import connect_redis
from shared.tables import connect, require_current, upgrade
from shared.tables.ledger import archive
from shared.tables.metadata import metadata
from shared.tables.schema import DatabaseUnreachable
from shared.topology import LEDGER_ARCHIVE
from shared.wire import raw_bounce_message
from tests.property.ledger_model import at, verdict

RAW = b"From: mailer-daemon@example.org\r\n\r\n\x00\xff noise"


def deliver(engine: Engine, *messages: Message) -> None:
    handler = ArchiveHandler(SqlArchive(engine))
    assert handler([Delivery(message, LEDGER_ARCHIVE.name) for message in messages]) == []


class TestArchive:
    def test_a_mail_is_read_as_it_came(self, engine: Engine) -> None:
        deliver(engine, raw_bounce_message(RAW), raw_bounce_message(RAW))
        assert SqlArchive(engine).read(raw_id(RAW)) == RAW
        assert SqlArchive(engine).read(raw_id(b"another")) is None

    def test_what_is_kept_stays(self, engine: Engine) -> None:
        kept = SqlArchive(engine)
        kept.keep([ArchivedMail("a" * 64, b"first", False)])
        kept.keep([ArchivedMail("a" * 64, b"second", True), ArchivedMail("b" * 64, b"", False)])
        kept.keep([])
        assert kept.read("a" * 64) == b"first"
        assert kept.read("b" * 64) == b""

    def test_only_the_beginning_of_a_large_one(self, engine: Engine) -> None:
        large = b"Subject: large\n\n" + b"x" * (READ_LIMIT_BYTES + 1)
        deliver(engine, raw_bounce_message(large))
        assert SqlArchive(engine).read(raw_id(large[:READ_LIMIT_BYTES])) == large[:READ_LIMIT_BYTES]
        with engine.connect() as connection:
            row = connection.execute(archive.select()).one()
        assert (row.truncated, row.size_bytes) == (True, READ_LIMIT_BYTES)

    def test_what_cannot_be_read_is_not_its_business(self, engine: Engine) -> None:
        deliver(engine, Message("mailroom", "bounce.raw", b"", "text/plain"), raw_bounce_message(RAW))
        assert SqlArchive(engine).read(raw_id(RAW)) == RAW

    def test_a_purged_mail_is_gone_and_its_row_is_not(self, engine: Engine) -> None:
        deliver(engine, raw_bounce_message(RAW))
        assert sum(SqlArchive(engine).purge(timedelta(0))) == 1
        assert SqlArchive(engine).read(raw_id(RAW)) is None
        assert sum(SqlArchive(engine).purge(timedelta(0))) == 0
        with engine.connect() as connection:
            assert len(connection.execute(archive.select()).all()) == 1

    def test_a_purged_mail_that_comes_again_is_kept_anew(self, engine: Engine) -> None:
        deliver(engine, raw_bounce_message(RAW))
        list(SqlArchive(engine).purge(timedelta(0)))
        deliver(engine, raw_bounce_message(RAW))
        assert SqlArchive(engine).read(raw_id(RAW)) == RAW
        assert sum(SqlArchive(engine).purge(timedelta(days=1))) == 0

    @pytest.mark.parametrize("first", [None, "held"])
    def test_what_a_held_run_brought_waits_for_a_person(self, engine: Engine, first: str | None) -> None:
        deliver(engine, raw_bounce_message(RAW))
        SqlRuns(engine).hold("held")
        for run_id in (first, "held"):
            SqlVerdictStore(engine).record([{**verdict("1", run_id=run_id), "raw_id": raw_id(RAW)}])
        assert sum(SqlArchive(engine).purge(timedelta(0))) == 0
        SqlRuns(engine).drop("held", "tester", "")
        assert sum(SqlArchive(engine).purge(timedelta(0))) == 1

    def test_only_what_is_old_is_purged_and_all_of_it(self, engine: Engine) -> None:
        kept = SqlArchive(engine)
        old = [f"{number:064}" for number in range(2_500)]
        kept.keep([ArchivedMail(name, b"old", False) for name in old])
        with engine.begin() as connection:
            connection.execute(update(archive).values(archived_at=datetime.now(UTC) - timedelta(days=31)))
        kept.keep([ArchivedMail("f" * 64, b"new", False)])
        assert list(kept.purge(timedelta(days=30))) == [1_000, 1_000, 500]
        assert (kept.read("f" * 64), kept.read(old[0]), kept.read(old[-1])) == (b"new", None, None)

    def test_a_ledger_purges_beside_its_work(self, engine: Engine) -> None:
        deliver(engine, raw_bounce_message(RAW))
        handler = VerdictHandler(SqlVerdictStore(engine), None, LocalBus())
        keep_up(engine, None, handler)
        keep_up(engine, None, handler, timedelta(days=1))
        assert SqlArchive(engine).read(raw_id(RAW)) == RAW
        away = RedisProjection(connect_redis("redis://127.0.0.1:1"))
        keep_up(engine, away, handler, timedelta(microseconds=1))
        assert SqlArchive(engine).read(raw_id(RAW)) is None

    def test_the_commands(self, engine: Engine) -> None:
        runner = CliRunner(env={"MAILROOM_DATABASE_URL": engine.url.render_as_string(hide_password=False)})
        deliver(engine, raw_bounce_message(RAW))
        assert runner.invoke(main, ["archive", "show", raw_id(RAW)]).stdout_bytes == RAW
        assert runner.invoke(main, ["archive", "show", raw_id(RAW)[:12]]).stdout_bytes == RAW
        assert "never had a mail xyz" in runner.invoke(main, ["archive", "show", "xyz"]).stderr
        told = runner.invoke(main, ["explain", "--archived", raw_id(RAW)])
        assert (told.exit_code, "not-bounce" in told.stdout) == (0, True), told.output
        assert runner.invoke(main, ["archive", "purge", "--older-than", "999999"]).exit_code == 2
        assert "0 mails" in runner.invoke(main, ["archive", "purge", "--older-than", "1"]).stderr
        assert "1 mail purged" in runner.invoke(main, ["archive", "purge", "--older-than", "0"]).stderr
        told = runner.invoke(main, ["archive", "show", raw_id(RAW)])
        assert (told.exit_code, "has been purged" in told.stderr) == (2, True)


class TestSchema:
    def test_without_one_the_service_says_what_to_do(self, empty_engine: Engine) -> None:
        with pytest.raises(ConfigurationError, match=r"schema none.*mailroom migrate"):
            require_current(empty_engine)

    def test_an_old_one_is_refused(self, engine: Engine) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
        with pytest.raises(ConfigurationError, match=r"schema 0000.*mailroom migrate"):
            require_current(engine)

    def test_upgrading_twice_is_upgrading_once(self, engine: Engine) -> None:
        upgrade(engine)
        require_current(engine)
        assert set(inspect(engine).get_table_names()) == {*metadata.tables, "alembic_version"}

    def test_the_history_of_the_schema_leads_to_the_tables(self, engine: Engine) -> None:
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    def test_two_at_once(self, empty_engine: Engine) -> None:
        errors: list[BaseException] = []

        def run() -> None:
            try:
                upgrade(empty_engine)
            except BaseException as exc:  # noqa: BLE001 (told to the test)
                errors.append(exc)

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        require_current(empty_engine)

    def test_a_database_that_checks_no_encoding(self, pg: Engine) -> None:
        """PostgreSQL's own default where the system has no locale."""
        with pg.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS no_encoding")
            connection.exec_driver_sql("CREATE DATABASE no_encoding ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
            engine = connect(pg.url.set(database="no_encoding").render_as_string(hide_password=False))
            try:
                upgrade(engine)
                require_current(engine)
                message = raw_bounce_message("Betreff: zurück".encode())
                ArchiveHandler(SqlArchive(engine))([Delivery(message, LEDGER_ARCHIVE.name)])
            finally:
                engine.dispose()
                connection.exec_driver_sql("DROP DATABASE no_encoding WITH (FORCE)")

    def test_times_without_an_offset_are_refused(self, engine: Engine) -> None:
        naive = at(0).replace(tzinfo=None)
        row = {"raw_id": "a", "archived_at": naive, "size_bytes": 0, "truncated": False}
        with pytest.raises(Exception, match="no offset from UTC"), engine.begin() as connection:
            connection.execute(archive.insert().values(row))

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("Dear diary, " * 1000)
        engine = connect(f"sqlite:///{tmp_path / 'notes.txt'}")
        for use in (upgrade, require_current):
            with pytest.raises(DatabaseUnreachable, match="not a database"):
                use(engine)
        engine.dispose()

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        engine = connect(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}")
        with pytest.raises(DatabaseUnreachable, match="unable to open"):
            upgrade(engine)

    def test_urls(self, tmp_path: Path) -> None:
        for url, said in (
            ("mysql://x/y", "supported are sqlite and postgresql"),
            ("nonsense", "database URL cannot be read"),
        ):
            with pytest.raises(ConfigurationError, match=said):
                connect(url)
        with pytest.raises(ConfigurationError, match="nothing was processed here yet"):
            connect(f"sqlite:///{tmp_path / 'absent.db'}", must_exist=True)
        assert list(tmp_path.iterdir()) == []
