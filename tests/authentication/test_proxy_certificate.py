from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from healer.authentication.proxy_certificate import ProxyCertificate
from tests.authentication.senders import admitted, delivery

SUBJECT = "CN=alertmanager,O=Example"
GOOD = {"X-SSL-Client-Verify": "SUCCESS", "X-SSL-Client-S-DN": SUBJECT}


def behind(*proxies: str, **more: Any) -> ProxyCertificate:
    options = {"proxies": proxies or ("10.0.0.0/24", "fd00::/64", "127.0.0.1"), "subjects": [SUBJECT]}
    return ProxyCertificate.model_validate(options | more)


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.7", "fd00::7", "::ffff:10.0.0.7"])
async def test_what_the_proxy_tells_is_believed(peer: str) -> None:
    assert await admitted(behind(), delivery(GOOD, peer=peer))


@pytest.mark.parametrize(
    "peer",
    ["10.0.1.7", "127.0.0.2", "::1", "fd00:0:0:1::7", "::ffff:10.0.1.7", "", "localhost", "\udcff", "10.0.0"],
)
async def test_what_anybody_else_tells_is_not(peer: str) -> None:
    assert not await admitted(behind(), delivery(GOOD, peer=peer))


async def test_an_address_of_one_link_is_known_whatever_the_link_is_called() -> None:
    assert await admitted(behind("fe80::/64"), delivery(GOOD, peer="fe80::7%eth0"))


@pytest.mark.parametrize("said", ["NONE", "FAILED:certificate has expired", "success", "SUCCESS ", "0"])
async def test_a_certificate_that_is_not_good_is_none(said: str) -> None:
    assert not await admitted(behind(), delivery(GOOD | {"X-SSL-Client-Verify": said}))


@pytest.mark.parametrize(
    "subject", ["CN=alertmanager", "CN=alertmanager,O=Example2", "O=Example,CN=alertmanager", SUBJECT.lower()]
)
async def test_another_subject_is_another_one(subject: str) -> None:
    assert not await admitted(behind(), delivery(GOOD | {"X-SSL-Client-S-DN": subject}))


async def test_a_proxy_may_tell_it_in_its_own_words() -> None:
    haproxy = behind(verified_header="X-Verify", verified="0", subject_header="X-Subject")
    assert await admitted(haproxy, delivery({"x-verify": "0", "x-subject": SUBJECT}))
    assert not await admitted(haproxy, delivery(GOOD))


@pytest.mark.parametrize(
    "options",
    [
        {"proxies": []},
        {"proxies": ["proxy.example.org"]},
        {"proxies": ["10.0.0.1/24"]},
        {"subjects": []},
        {"subjects": [""]},
        {"verified": ""},
        {"verified_header": "X Verify"},
    ],
    ids=str,
)
def test_what_would_admit_anybody_or_nobody_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        behind(**options)
