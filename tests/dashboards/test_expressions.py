from __future__ import annotations

import pytest

from tests.dashboards.expressions import faults, known


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("sum(healer_nothing_total)", "healer_nothing_total does not exist"),
        ("rate(healer_heals[5m]) > 0", "healer_heals does not exist"),
        (
            "histogram_quantile(0.9, healer_phase_duration_seconds)",
            "healer_phase_duration_seconds does not exist",
        ),
        ('healer_cloud_up{stack="a"}', "healer_cloud_up has no label stack"),
        ("sum by (policy) (healer_cloud_up)", "nothing in it has the label policy"),
        ('healer_incidents_open{state="hold"}', "healer_incidents_open{state} is never hold"),
        ('healer_incidents_open{state=~"held|bad"}', "healer_incidents_open{state} is never bad"),
        ('healer_cloud_up and on () healer_odd{cloud="a"}', "healer_odd does not exist"),
    ],
)
def test_what_the_code_does_not_have_is_found(expression: str, said: str) -> None:
    assert list(faults(expression, known())) == [said]


def test_what_a_text_takes_from_the_result_is_looked_for_too() -> None:
    assert list(faults("healer_pauses", known(), ["cloud"])) == ["nothing in it has the label cloud"]


@pytest.mark.parametrize(
    "expression",
    [
        'sum by (cloud) (increase(healer_heals_total{outcome!="healed"}[30m])) / 2 > 0.5',
        'up{job="healer"} == 0 or absent(up{job="healer"})',
        'sum by (le) (rate(healer_phase_duration_seconds_bucket{phase="acting"}[$__range]))',
        "vector(1)",
    ],
)
def test_what_it_has_is_taken(expression: str) -> None:
    assert list(faults(expression, known())) == []
