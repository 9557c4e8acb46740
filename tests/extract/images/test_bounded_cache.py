from concurrent.futures import ThreadPoolExecutor

from dseg.extract.images.bounded_cache import BoundedCache


def test_the_first_that_fit_are_kept_and_no_other():
    cache, loaded = BoundedCache[int, bytes](10, len), []

    def load(key):
        loaded.append(key)
        return bytes(4)

    for _ in range(2):
        for key in range(4):
            cache.get(key, lambda key=key: load(key))
    assert loaded == [0, 1, 2, 3, 2, 3]


def test_threads_do_not_count_a_value_twice():
    cache = BoundedCache[int, bytes](100, len)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda place: cache.get(place % 10, lambda: bytes(10)), range(400)))
    loaded = []
    for key in range(10):
        cache.get(key, lambda key=key: loaded.append(key) or b"")
    assert loaded == []
