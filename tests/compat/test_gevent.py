"""gevent: in a process with greenlets instead of blocking sockets, locks and threads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import monta_auth
from monta_auth.emulator import Emulator

from .table import Combination
from .visits import PAGE

pytest.importorskip("gevent", reason="gevent is not installed")

COMBINATION = Combination(
    name="gevent",
    with_="requests",
    know="Call ``monkey.patch_all()`` before any other import, as gevent asks. All greenlets "
    "of a process share one token.",
)


SCRIPT = """
    from gevent import monkey

    monkey.patch_all()
    import os
    import gevent
    import requests
    from requests_monta import MontaAuth

    url = os.environ["MONTA_BASE_URL"]

    def page(_=None):
        with requests.Session() as session:
            session.auth = MontaAuth()
            return session.get(url + "/charge-points").status_code

    def crowd():
        greenlets = [gevent.spawn(page) for _ in range(50)]
        gevent.joinall(greenlets, raise_error=True)
        print({greenlet.value for greenlet in greenlets})

    crowd()
    input()
    crowd()
"""


def test_greenlets_share_each_token_call(site: Emulator) -> None:
    """Fifty at once have no token; later, fifty at once have a revoked one."""
    site.latency = 0.02  # long enough that they overlap
    environment = os.environ | {
        "MONTA_BASE_URL": site.base_url,
        "MONTA_CLIENT_ID": site.client_id,
        "MONTA_CLIENT_SECRET": site.client_secret,
        "PYTHONPATH": str(Path(monta_auth.__file__).parents[1]),
    }
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "{200}\n"
        assert (site.count(), site.count("/auth/token"), site.count(PAGE)) == (51, 1, 50)
        site.revoke_access_tokens()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "{200}\n"
        assert process.wait() == 0
    assert (site.count("/auth/token"), site.count("/auth/refresh")) == (1, 1)
    statuses = [call.status for call in site.calls if call.path == PAGE]
    assert statuses.count(200) == 100
    assert 1 <= statuses.count(401) <= 50
