"""The text half of the live protocol, against the real client's own parser and writer."""

from __future__ import annotations

import pytest
from databento.common.cram import get_challenge_response
from databento.live.gateway import (
    AuthenticationRequest,
    AuthenticationResponse,
    ChallengeRequest,
    GatewayDecoder,
    Greeting,
    SubscriptionRequest,
)
from databento.live.gateway import SessionStart as ClientSessionStart
from databento_dbn import Schema, SType

from ifd.errors import ConfigurationError
from simulator.live import control
from simulator.live.control import (
    KeyRing,
    ProtocolError,
    SessionStart,
    SubscriptionLine,
    parse_authentication,
    parse_request,
)

KEY = "db-0123456789abcdefghijklmnopqrs"
SAME_BUCKET = "db-another-key-entirely-000opqrs"


def test_the_clients_decoder_understands_everything_that_is_sent() -> None:
    decoder = GatewayDecoder()
    decoder.write(control.greeting("abc"))
    decoder.write(control.accepted(17))
    decoder.write(control.refused("Authentication failed."))

    assert decoder.decode() == [
        Greeting(lsg_version=control.GATEWAY_VERSION),
        ChallengeRequest(cram="abc"),
        AuthenticationResponse(success="1", session_id="17"),
        AuthenticationResponse(success="0", error="Authentication failed."),
    ]


def test_a_key_is_admitted_only_with_the_answer_to_its_challenge() -> None:
    ring = KeyRing([KEY, SAME_BUCKET])

    assert ring.find("one", get_challenge_response("one", KEY)) == KEY
    assert ring.find("one", get_challenge_response("one", SAME_BUCKET)) == SAME_BUCKET
    assert ring.find("two", get_challenge_response("one", KEY)) is None
    assert ring.find("one", get_challenge_response("one", KEY.replace("0", "9"))) is None
    assert ring.find("one", "") is None
    assert ring.find("one", KEY) is None
    assert ring.find("one", f"\u00e9-{KEY[-5:]}") is None


@pytest.mark.parametrize("key", ["", "x", "db-short", "0123456789abcdefghijklmnopqrstuv"])
def test_a_key_must_look_like_one(key: str) -> None:
    with pytest.raises(ConfigurationError, match="API key"):
        KeyRing([key])


def test_challenges_differ() -> None:
    challenges = {control.new_challenge() for _ in range(50)}

    assert len(challenges) == 50
    assert all(len(challenge) == 32 and challenge.isalnum() for challenge in challenges)


def test_the_clients_authentication_request_is_understood() -> None:
    request = AuthenticationRequest(
        auth="d1-abcde",
        dataset="GLBX.MDP3",
        ts_out="1",
        compression="zstd",
        heartbeat_interval_s=5,
        slow_reader_behavior="warn",
    )

    parsed = parse_authentication(bytes(request))

    assert parsed == control.Authentication("d1-abcde", "GLBX.MDP3", True, True, 5)


def test_the_clients_subscription_request_is_understood() -> None:
    request = SubscriptionRequest(
        schema=Schema.MBO, stype_in=SType.PARENT, symbols="NQ.OPT,NQ.FUT", start=0, id=3, is_last=0
    )

    parsed = parse_request(bytes(request))

    assert parsed == SubscriptionLine("mbo", "parent", ("NQ.OPT", "NQ.FUT"), 0, False, 3, False)
    assert isinstance(parse_request(bytes(ClientSessionStart())), SessionStart)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"auth=x|dataset=GLBX.MDP3|sssauth=1\n", "Unknown subscription param 'sssauth'"),
        (b"GET / HTTP/1.1\n", "Unknown subscription param"),
        (b"\xff\xfe\n", "ASCII"),
        (b"dataset=GLBX.MDP3\n", "Authentication failed"),
        (b"auth=x|dataset=GLBX.MDP3|encoding=json\n", "Encoding"),
        (b"auth=x|dataset=GLBX.MDP3|compression=gzip\n", "compression"),
        (b"auth=x|dataset=GLBX.MDP3|heartbeat_interval_s=4\n", "between 5 and 1800"),
        (b"auth=x|dataset=GLBX.MDP3|heartbeat_interval_s=soon\n", "heartbeat_interval_s"),
        (b"auth=x|dataset=GLBX.MDP3|ts_out=yes\n", "ts_out"),
    ],
)
def test_a_wrong_authentication_request_is_told_what_is_wrong(line: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        parse_authentication(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"schema=mbo|stype_in=parent|symbols=\n", "needs symbols"),
        (b"schema=mbp-9|stype_in=parent|symbols=NQ.OPT\n", "schema"),
        (b"schema=mbo|stype_in=isin|symbols=NQ.OPT\n", "stype_in"),
        (b"schema=mbo|symbols=A|start=1|snapshot=1\n", "not for both"),
        (b"schema=definition|symbols=A|snapshot=1\n", "Snapshots"),
        (b"schema=mbo|symbols=A|start=-5\n", "start"),
        (b"schema=mbo|symbols=" + b",".join([b"A"] * 501) + b"\n", "500"),
        (b"hello\n", "Unknown subscription param 'hello'"),
    ],
)
def test_a_wrong_subscription_is_told_what_is_wrong(line: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        parse_request(line)


def test_what_a_client_is_refused_with_cannot_add_a_field() -> None:
    assert control.refused("a|b=c\nd") == b"success=0|error=a/b=c d\n"
