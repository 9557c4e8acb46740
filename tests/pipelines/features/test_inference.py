"""`ahead`: work in threads beside the making of the next item, in order, and never much of it."""

import threading
import time

import pytest
from dseg.pipelines.features.inference import ahead


def test_results_come_in_the_items_order_however_long_each_takes():
    delays = [0.03, 0.0, 0.02, 0.0, 0.01, 0.0]

    def work(number):
        time.sleep(delays[number])
        return number

    assert list(ahead(work, range(6), 3)) == list(range(6))


def test_items_are_made_in_the_callers_thread_and_worked_on_in_others():
    makers, workers = set(), set()

    def items():
        for number in range(8):
            makers.add(threading.current_thread())
            yield number

    def work(number):
        workers.add(threading.current_thread())
        return number

    list(ahead(work, items(), 2))
    assert makers == {threading.current_thread()}
    assert workers
    assert not workers & makers


@pytest.mark.parametrize("most", [0, 1, 2])
def test_no_more_items_are_made_than_may_be_under_way(most):
    made = taken = highest = 0

    def items():
        nonlocal made, highest
        for number in range(20):
            made += 1
            highest = max(highest, made - taken)
            yield number

    for _ in ahead(lambda number: number, items(), 2, limit=most):
        taken += 1
    assert highest == most + 1


def test_work_goes_on_while_the_next_item_is_made():
    first_is_done = threading.Event()

    def items():
        yield 0
        assert first_is_done.wait(10), "the first item was not worked on beside this"
        yield 1

    def work(number):
        first_is_done.set()
        return number

    assert list(ahead(work, items(), 1, limit=2)) == [0, 1]


def test_an_error_ends_it_and_what_was_not_begun_is_left_undone():
    begun = []

    def work(number):
        begun.append(number)
        if number == 1:
            raise ValueError("the second")
        return number

    with pytest.raises(ValueError, match="the second"):
        list(ahead(work, range(100), 1, limit=2))
    assert len(begun) < 10
