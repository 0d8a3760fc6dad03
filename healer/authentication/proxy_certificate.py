"""The sender's client certificate, as the proxy that ends TLS has verified it and tells it in headers.

The proxy must set both headers on every request, also where there was no certificate: what it lets through from
outside would be believed. nginx:

    proxy_set_header X-SSL-Client-Verify $ssl_client_verify;
    proxy_set_header X-SSL-Client-S-DN $ssl_client_s_dn;
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, StringConstraints

from healer.authentication._headers import Word, only
from healer.plugins import Plugin
from healer.ports import Delivery

_Text = Annotated[str, StringConstraints(min_length=1)]


class ProxyCertificate(Plugin):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"proxies": ["127.0.0.1"], "subjects": ["CN=alertmanager,O=Example"]}]
        }
    )

    proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], Field(min_length=1)]
    """Addresses, or networks as `10.0.0.0/24`, that the proxy connects from. From elsewhere nothing is believed."""
    subjects: Annotated[frozenset[_Text], Field(min_length=1)]
    """Whose certificates admit, spelt as the proxy spells a subject: nginx writes `CN=alertmanager,O=Example`."""
    subject_header: Word = "X-SSL-Client-S-DN"
    """Where the proxy tells the subject. The default is as nginx calls it."""
    verified_header: Word = "X-SSL-Client-Verify"
    """Where the proxy tells what came of its verification. The default is as nginx calls it."""
    verified: _Text = "SUCCESS"
    """What stands there where the certificate is good: nginx and Apache write `SUCCESS`, HAProxy `0`."""

    needs_body: ClassVar[bool] = False

    async def admits(self, delivery: Delivery) -> bool:
        return (
            self._is_proxy(delivery.peer)
            and only(delivery.headers, self.verified_header) == self.verified
            and only(delivery.headers, self.subject_header) in self.subjects
        )

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:  # a unix socket has no address
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self.proxies)
