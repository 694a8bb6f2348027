from __future__ import annotations

import pytest

from hopscope.hosts.redact import HIDDEN, has_secret, redact


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("mysql --password hunter2 -h db", "hunter2"),
        ("DB_PASSWORD=hunter2 run", "hunter2"),
        ('{"secret_access_key": "abc/def"}', "abc/def"),
        ("https://b/k?X-Amz-Signature=0a1b&X-Amz-Credential=AKIA/x&partNumber=1", "0a1b"),
        ("key AKIAIOSFODNN7EXAMPLE is wrong", "AKIAIOSFODNN7EXAMPLE"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, secret: str) -> None:
    told = redact(text)
    assert secret not in told
    assert HIDDEN in told


def test_the_value_of_a_telling_name_is_hidden_wherever_it_stands() -> None:
    env = {"API_TOKEN": "s3cr3t", "WORD": "plain"}
    assert redact("curl -H s3cr3t plain", env) == f"curl -H {HIDDEN} plain"
    assert has_secret(env)
    assert not has_secret({"WORD": "plain"})


@pytest.mark.parametrize("text", ["ip route add 10.1.0.0/24 via 10.1.1.1", "the tokens of a bucket", "sequence=4711"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
