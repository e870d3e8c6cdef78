"""Work in hand that does not move is told from work that does, and from none."""

import threading

from shared.progress import Progress, moved


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class TestProgress:
    def test_nothing_in_hand_never_stands_still(self) -> None:
        clock = Clock()
        progress = Progress(clock)
        clock.now_s = 1000
        assert progress.still_s() == 0

    def test_work_that_does_not_move_stands_still(self) -> None:
        clock = Clock()
        progress = Progress(clock)
        with progress.working():
            clock.now_s = 31
            assert progress.still_s() == 31

    def test_work_that_says_that_it_moves_does_not(self) -> None:
        clock = Clock()
        progress = Progress(clock)
        with progress.working():
            clock.now_s = 29
            moved()
            clock.now_s = 31
            assert progress.still_s() == 2

    def test_one_thread_that_hangs_is_not_hidden_by_one_that_works(self) -> None:
        clock = Clock()
        progress = Progress(clock)
        has_begun, may_end = threading.Event(), threading.Event()

        def hang() -> None:
            with progress.working():
                has_begun.set()
                may_end.wait()

        thread = threading.Thread(target=hang)
        thread.start()
        has_begun.wait()
        with progress.working():
            clock.now_s = 40
            moved()
            assert progress.still_s() == 40
            may_end.set()
            thread.join()
            assert progress.still_s() == 0

    def test_beside_any_queue_moving_means_nothing(self) -> None:
        moved()
        progress = Progress()
        with progress.working():
            pass
        moved()
        assert progress.still_s() == 0
