"""What is due is asked for once, whoever dies, hangs or runs twice; on PostgreSQL and SQLite, with a real broker."""

import multiprocessing
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from sqlalchemy import Engine, event, insert

from services.scheduler.app import Settings, run
from services.scheduler.planning import FIRST_WITHIN
from services.scheduler.scheduler import Scheduler
from services.scheduler.store_sql import SqlScheduleStore
from shared.bus import BrokerUnreachable, Message
from shared.contract import FetchRequest
from shared.publisher import ConfirmingPublisher
from shared.tables.fetcher import lease
from shared.wire import read_fetch_request
from tests.integration.bus.test_broker import read_all
from tests.integration.scheduler.accounts import HOUR, add_accounts, add_run, change_account, let_pass, plan_of
from tests.integration.scheduler.dying import ask_and_die
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.waiting import eventually

MINUTE = timedelta(minutes=1)
NAMES = [f"account-{number:04d}" for number in range(1_000)]


def requests(amqp_url: str) -> list[FetchRequest]:
    """What waits for the fetchers; the queue is empty then."""
    return [read_fetch_request(delivery.message) for delivery in read_all(amqp_url)]


def ask_first(engine: Engine, scheduler: Scheduler, amqp_url: str, name: str = "news") -> str:
    """An account that was asked for once; the run."""
    add_accounts(engine, [name])
    assert scheduler.ask() == 0, "it is only planned"
    let_pass(engine, FIRST_WITHIN)
    assert scheduler.ask() == 1
    (request,) = requests(amqp_url)
    assert request["account"] == name
    assert request["run_id"] == plan_of(engine, name).run_id
    return request["run_id"]


class _Counting(ConfirmingPublisher):
    failed = 0

    def publish(self, messages: Iterable[Message]) -> None:
        try:
            super().publish(messages)
        except BrokerUnreachable:
            self.failed += 1
            raise


class TestOneAccount:
    def test_one_request_is_pending(self, engine: Engine, scheduler: Scheduler, amqp_url: str) -> None:
        run_id = ask_first(engine, scheduler, amqp_url)
        let_pass(engine, 1.6 * HOUR)
        assert scheduler.ask() == 0, "the first has not begun"
        add_run(engine, run_id)
        assert scheduler.ask() == 0, "it has not ended"
        add_run(engine, "by hand", finished_at=datetime.now(UTC))
        assert scheduler.ask() == 0, "what was asked for by hand is another matter"
        assert requests(amqp_url) == []

    @pytest.mark.parametrize("end", [{"finished_at": datetime.now(UTC)}, {"last_error": "login refused"}])
    def test_after_the_run_has_ended_it_is_asked_for_again(
        self, engine: Engine, scheduler: Scheduler, amqp_url: str, end: dict[str, object]
    ) -> None:
        run_id = ask_first(engine, scheduler, amqp_url)
        add_run(engine, run_id, **end)
        assert scheduler.ask() == 0
        let_pass(engine, 1.6 * HOUR)
        assert scheduler.ask() == 1
        (request,) = requests(amqp_url)
        assert request["run_id"] != run_id
        assert scheduler.ask() == 0

    def test_what_no_fetcher_begins_is_put_again_after_two_intervals_and_not_before(
        self, engine: Engine, scheduler: Scheduler, amqp_url: str
    ) -> None:
        ask_first(engine, scheduler, amqp_url)
        for intervals in (2, 4, 8):
            let_pass(engine, intervals * HOUR - MINUTE)
            assert scheduler.ask() == 0
            let_pass(engine, MINUTE)
            with structlog.testing.capture_logs() as logs:
                assert scheduler.ask() == 1
            assert [entry["event"] for entry in logs] == ["request_put_again", "accounts_asked_for"]
        assert len(requests(amqp_url)) == 3
        assert plan_of(engine).puts == 4

    def test_while_a_fetcher_is_in_the_mailbox_nobody_is_asked(
        self, engine: Engine, scheduler: Scheduler, amqp_url: str
    ) -> None:
        ask_first(engine, scheduler, amqp_url)
        let_pass(engine, 3 * HOUR)
        soon = datetime.now(UTC) + timedelta(seconds=30)
        with engine.begin() as connection:
            connection.execute(insert(lease), {"account": "news", "holder": "another", "until": soon})
        assert scheduler.ask() == 0
        with engine.begin() as connection:
            connection.execute(lease.update().values(until=datetime.now(UTC)))
        assert scheduler.ask() == 1

    def test_a_paused_account(self, engine: Engine, scheduler: Scheduler, amqp_url: str) -> None:
        ask_first(engine, scheduler, amqp_url)
        for paused, resumed in (({"is_active": False}, {"is_active": True}), ({"interval_s": 0}, {"interval_s": 3600})):
            change_account(engine, "news", **paused)
            let_pass(engine, 100 * HOUR)
            assert scheduler.ask() == 0
            assert plan_of(engine) is None
            change_account(engine, "news", **resumed)
            assert scheduler.ask() == 0
            assert plan_of(engine).next_at < datetime.now(UTC) + FIRST_WITHIN
            let_pass(engine, FIRST_WITHIN)
            assert scheduler.ask() == 1
        assert len(requests(amqp_url)) == 2

    def test_a_changed_interval(self, engine: Engine, scheduler: Scheduler, amqp_url: str) -> None:
        run_id = ask_first(engine, scheduler, amqp_url)
        add_run(engine, run_id, finished_at=datetime.now(UTC))
        change_account(engine, "news", interval_s=86_400)
        assert scheduler.ask() == 0
        assert plan_of(engine).next_at > datetime.now(UTC) + 11 * HOUR
        let_pass(engine, 6 * HOUR)
        assert scheduler.ask() == 0
        change_account(engine, "news", interval_s=600)
        assert scheduler.ask() == 0
        let_pass(engine, FIRST_WITHIN)
        assert scheduler.ask() == 1

    def test_the_clock_is_set_back(self, engine: Engine, scheduler: Scheduler, amqp_url: str) -> None:
        ask_first(engine, scheduler, amqp_url)
        let_pass(engine, -72 * HOUR)
        assert scheduler.ask() == 0
        assert plan_of(engine).next_at < datetime.now(UTC) + 1.5 * HOUR
        let_pass(engine, 2 * HOUR)
        assert scheduler.ask() == 1


class TestManyAccounts:
    @pytest.fixture
    def due(self, engine: Engine, scheduler: Scheduler) -> None:
        """A thousand accounts that are due."""
        add_accounts(engine, NAMES)
        assert scheduler.ask() == 0
        let_pass(engine, FIRST_WITHIN)

    @pytest.mark.usefixtures("due")
    def test_of_two_schedulers_one_asks(
        self, engine: Engine, new_scheduler: Callable[[], Scheduler], amqp_url: str
    ) -> None:
        schedulers = [new_scheduler() for _ in range(2)]
        for round_ in range(1, 4):
            begin = threading.Barrier(len(schedulers))
            asked: list[int] = []

            def ask(one: Scheduler, begin: threading.Barrier = begin, asked: list[int] = asked) -> None:
                begin.wait()
                asked.append(one.ask() + one.ask())

            threads = [threading.Thread(target=ask, args=(one,)) for one in schedulers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sum(asked) == len(NAMES)
            wanted = {plan_of(engine, name).run_id for name in NAMES[::100]}
            got = requests(amqp_url)
            assert Counter(request["account"] for request in got) == Counter(NAMES), f"round {round_}"
            assert wanted <= {request["run_id"] for request in got}
            let_pass(engine, 2**round_ * HOUR)

    @pytest.mark.usefixtures("due")
    def test_one_that_is_killed_before_its_commit_asks_twice_at_most(
        self, url: str, engine: Engine, new_scheduler: Callable[[], Scheduler], amqp_url: str
    ) -> None:
        process = multiprocessing.get_context("spawn").Process(target=ask_and_die, args=(url, amqp_url))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        first = Counter(request["account"] for request in requests(amqp_url))
        assert len(first) == first.total() == 500, "one window"
        assert plan_of(engine, NAMES[0]).run_id is None
        assert new_scheduler().ask() == len(NAMES)
        assert Counter(request["account"] for request in requests(amqp_url)) == Counter(NAMES)
        assert new_scheduler().ask() == 0

    @pytest.mark.usefixtures("due")
    def test_a_broker_that_is_away_costs_nothing(self, engine: Engine, amqp_url: str, scheduler: Scheduler) -> None:
        nobody_listens = ConfirmingPublisher("amqp://guest:guest@127.0.0.1:1/%2F", patience_s=0.1)
        with pytest.raises(BrokerUnreachable):
            Scheduler(SqlScheduleStore(engine), nobody_listens).ask()
        assert plan_of(engine, NAMES[0]).run_id is None
        assert scheduler.ask() == len(NAMES)

    @pytest.mark.stops_server
    def test_a_broker_in_alarm_is_not_asked_at_each_pass(
        self, engine: Engine, amqp_url: str, rabbitmq: RabbitMQServer, url: str
    ) -> None:
        """It delivers all that was sent to it once the alarm ends: one request too many, however many passes that took."""
        add_accounts(engine, ["news"])
        publisher = _Counting(amqp_url, patience_s=2.0)
        Scheduler(SqlScheduleStore(engine), publisher).ask()
        let_pass(engine, FIRST_WITHIN)
        settings = Settings(amqp_url, url, None, 0.1, 60.0, None, "info")
        stop = threading.Event()
        thread = threading.Thread(target=run, args=(settings, engine, publisher, stop))
        rabbitmq.control("set_vm_memory_high_watermark", "0")
        try:
            thread.start()
            eventually(lambda: publisher.failed >= 4)
        finally:
            rabbitmq.control("set_vm_memory_high_watermark", "0.6")
        eventually(lambda: plan_of(engine).run_id is not None)
        stop.set()
        thread.join()
        publisher.close()
        assert [request["account"] for request in requests(amqp_url)] in (["news"], ["news"] * 2)

    def test_a_pass_over_ten_thousand_is_a_few_statements(self, engine: Engine, amqp_url: str) -> None:
        add_accounts(engine, [f"account-{number:05d}" for number in range(10_000)])
        statements: list[str] = []
        publisher = ConfirmingPublisher(amqp_url)
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
        counted = Scheduler(SqlScheduleStore(engine), publisher)
        most = 5 + 20 * 3
        assert counted.ask() == 0
        assert len(statements) <= most, "planned, five hundred at a time"
        statements.clear()
        some = counted.ask()
        assert some < 500
        assert len(statements) <= 8, "hardly any is due"
        let_pass(engine, FIRST_WITHIN)
        statements.clear()
        assert counted.ask() == 10_000 - some
        assert len(statements) <= most, "the others are, all at once"
        publisher.close()


class TestWatching:
    def test_a_silent_account_is_told_of_once_and_once_when_it_is_well_again(
        self, engine: Engine, new_scheduler: Callable[[], Scheduler], amqp_url: str
    ) -> None:
        schedulers = [new_scheduler() for _ in range(2)]
        run_id = ask_first(engine, schedulers[0], amqp_url)
        add_run(engine, run_id, last_error="the server refused the login: check the password")

        def told() -> list[dict[str, object]]:
            with structlog.testing.capture_logs() as logs:
                for _ in range(2):
                    for one in schedulers:
                        one.watch()
            return logs

        assert told() == []
        let_pass(engine, 5 * HOUR)
        (said,) = told()
        assert (said["event"], said["log_level"], said["account"]) == ("account_silent", "error", "news")
        assert (said["condition"], said["cause"]) == ("failing", "the server refused the login: check the password")
        assert plan_of(engine).is_told
        add_run(engine, "tried again")
        assert told() == [], "a pass that has only begun changes nothing"
        add_run(engine, "better", finished_at=datetime.now(UTC))
        (said,) = told()
        assert (said["event"], said["log_level"]) == ("account_well_again", "info")
        let_pass(engine, 5 * HOUR)
        (said,) = told()
        assert said["condition"] == "silent"

    def test_two_that_notice_it_at_the_same_time_tell_of_it_once(
        self, engine: Engine, new_scheduler: Callable[[], Scheduler]
    ) -> None:
        schedulers = [new_scheduler() for _ in range(2)]
        names = NAMES[:700]
        add_accounts(engine, names)
        assert schedulers[0].ask() == 0
        let_pass(engine, 5 * HOUR)
        begin = threading.Barrier(len(schedulers))

        def watch(one: Scheduler) -> None:
            begin.wait()
            one.watch()

        threads = [threading.Thread(target=watch, args=(one,)) for one in schedulers]
        with structlog.testing.capture_logs() as logs:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert Counter(entry["account"] for entry in logs) == Counter(names)
