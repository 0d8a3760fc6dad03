from __future__ import annotations

from io import StringIO

from benchmarks.results import Result, report


def result(ours: tuple[float, ...], target: float = 4.0) -> Result:
    return Result("taking in", "us", ours, "the peer", (90.0, 100.0, 400.0), target)


def test_each_result_is_one_line_with_what_ours_the_peers_the_ratio_and_the_target() -> None:
    out = StringIO()
    assert report([result((20.0, 10.0, 99.0)), result((25.0,))], out) == 0
    assert out.getvalue().splitlines() == [
        "taking in: ours 20.0 us, the peer 100.0 us, ratio 5.00, target 4.00",
        "taking in: ours 25.0 us, the peer 100.0 us, ratio 4.00, target 4.00",
    ]


def test_one_slow_result_among_good_ones_fails_the_run_and_says_so_and_the_others_are_printed_too() -> None:
    out = StringIO()
    assert report([result((10.0,)), result((26.0,)), result((10.0,))], out) == 1
    lines = out.getvalue().splitlines()
    assert [line.endswith("FALLS SHORT") for line in lines] == [False, True, False]


def test_a_run_that_measured_nothing_is_no_success() -> None:
    assert report([], StringIO()) == 1
