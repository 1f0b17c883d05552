"""docs/guides/sdks.rst: the examples run."""

from __future__ import annotations

import re

import pytest

from monta_auth.emulator import Emulator

from ..docs.pages import Example, called_by, example, parameters, stand_in

TENANTS = example("guides/sdks.rst", "tenants")


def test_each_tenant_has_its_own_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Emulator(client_id="north-id", client_secret="north-secret") as monta:
        monta.credentials["south-id"] = "south-secret"
        stand_in(monta, monta.base_url, monkeypatch)
        monkeypatch.delenv("MONTA_CLIENT_ID")
        monkeypatch.delenv("MONTA_CLIENT_SECRET")
        names = TENANTS.run()
        assert capsys.readouterr().out == "north 10\nsouth 10\n"
        used = [auth.application().client_id for auth in names["monta"].auths.values()]
        assert used == ["north-id", "south-id"]
        names["monta"].client.close()
    assert [call.path for call in monta.calls][:4] == ["/auth/token", "/charge-points"] * 2
    assert monta.count("/auth/token") == 2


# A generator may take longer than a test usually may.
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "shown", [each for each in parameters("guides/sdks.rst") if each.values[0] != TENANTS]
)
def test_the_example_runs_with_one_token(
    shown: Example, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for generated in re.findall(r"^from (monta_sdk|monta_api\w*)", shown.code, re.MULTILINE):
        request.getfixturevalue(generated)
    paths = called_by(shown, monkeypatch, is_public_api=True)

    assert paths.count("/auth/token") == 1
    assert {*paths} == {"/auth/token", "/charge-points"}
