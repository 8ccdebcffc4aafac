"""Whatever arrives, the answer is an OpenAI-style 4xx or a closed connection, and the service goes on."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.app.api.raw import RawAnswer, chunked, request, send
from tests.stack import Stack

CHAT = "/v1/chat/completions"
HUNDRED_MB = 100_000_000
GOOD = b'{"model":"general","messages":[{"role":"user","content":"hi"}],"max_tokens":1}'


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    """A key with every scope that is not the first admin key."""
    return stack.make_key(scopes=["admin"], name="bad input")


@pytest.fixture(autouse=True)
def still_there(stack: Stack) -> Iterator[None]:
    """After each test the same process answers, and has had no internal error."""
    pid = stack.pid("gateway")
    yield
    assert httpx.get(f"{stack.url}/healthz", timeout=30).text == "ok\n"
    assert stack.pid("gateway") == pid


def head(key: str, kind: str = "application/json") -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}"), ("content-type", kind)]


def post(stack: Stack, key: str, body: bytes, path: str = CHAT) -> RawAnswer:
    return send(stack.port, [request("POST", path, headers=head(key), body=body)])


def refused(answer: RawAnswer, *statuses: int) -> None:
    """An OpenAI error with a 4xx status (one of `statuses` where given) and a request id."""
    assert answer.status in (statuses or range(400, 500)), (answer.status, answer.body[:500])
    assert answer.error()["type"].endswith("_error")
    assert len(answer.headers["x-request-id"]) == 32


def test_the_good_request_is_good(stack: Stack, key: str) -> None:
    assert post(stack, key, GOOD).status == 200


NOT_JSON = {
    "empty": b"",
    "cut": GOOD[:-5],
    "array": b"[]",
    "two": GOOD + GOOD,
    "single quotes": b"{'model':'general'}",
    "utf-16": GOOD.decode().encode("utf-16"),
    "bom": b"\xef\xbb\xbf" + GOOD,
    "invalid utf-8": GOOD.replace(b"hi", b"h\xff\xfei"),
    "utf-8 surrogate": GOOD.replace(b"hi", b"\xed\xa0\x80"),
    "lone surrogate": GOOD.replace(b"hi", b"\\ud800"),
    "swapped surrogates": GOOD.replace(b"hi", b"\\udc00\\ud800"),
    "raw nul": GOOD.replace(b"hi", b"h\x00i"),
    "only nuls": b"\x00" * 1000,
    "nan": GOOD.replace(b'"max_tokens":1', b'"temperature":NaN'),
    "deep arrays": b'{"model":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep, unclosed": b"[" * 1_000_000,
    "300 levels": GOOD[:-1] + b',"x":' + b"[" * 300 + b"]" * 300 + b"}",
    "1000 levels": GOOD[:-1] + b',"x":' + b"[" * 1000 + b"]" * 1000 + b"}",
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_a_json_object_is_refused(stack: Stack, key: str, name: str) -> None:
    answer = post(stack, key, NOT_JSON[name])
    refused(answer, 400)
    assert answer.error()["code"] == "invalid_json"


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/releases", "/v1/feedback"])
@pytest.mark.parametrize("name", NOT_JSON)
def test_control_routes_refuse_it_too(stack: Stack, key: str, path: str, name: str) -> None:
    refused(post(stack, key, NOT_JSON[name], path), 400)


WRONG = {
    "negative max_tokens": b'"max_tokens":-5',
    "text as number": b'"max_tokens":"5"',
    "huge number": b'"max_tokens":' + b"9" * 400,
    "exponent": b'"max_tokens":1e999',
    "fraction": b'"n":1.5',
    "negative n": b'"n":-1',
    "object as text": b'"user":{}',
    "a million stops": b'"stop":[' + b",".join([b'"a"'] * 1_000_000) + b"]",
    "a million wrong stops": b'"stop":[' + b",".join([b"1"] * 1_000_000) + b"]",
    "long stop": b'"stop":"' + b"a" * 1_000_000 + b'"',
    "a million biases": b'"logit_bias":{' + b",".join(b'"%d":1' % n for n in range(300_000)) + b"}",
    "surrogate name": b'"stream_options":{"\\ud83d":1}',
    "nul in a name": b'"min_p\\u0000":"x","temperature":5',
    "tools text": b'"tools":"all"',
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_fields_are_refused(stack: Stack, key: str, name: str) -> None:
    body = GOOD.replace(b'"max_tokens":1', WRONG[name])
    refused(post(stack, key, body), 400, 413)


@pytest.mark.parametrize(
    "messages",
    [
        b"[]", b"{}", b"null", b'"hi"', b"[null]", b'[{"role":"user"},5]', b'[{"role":"emperor","content":"x"}]',
        b'[{"content":"x"}]', b'[{"role":"user","content":[{"text":"x"}]}]',
        b"[" + b",".join([b'{"role":"user","content":"x"}'] * 50_000) + b"]",
        b'[{"role":"user","content":[{"type":"text"}]}]',
        b'[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]',
        b'[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://127.0.0.1:1/"}}]}]',
        b'[{"role":"tool","content":"x"}]',
    ],
)  # fmt: skip
def test_wrong_conversations_are_refused(stack: Stack, key: str, messages: bytes) -> None:
    body = b'{"model":"general","max_tokens":1,"messages":' + messages + b"}"
    answer = post(stack, key, body)
    # A tool message without its call is the chat template's business, not an error by itself.
    if answer.status != 200:
        refused(answer, 400)
    assert b"/etc/" not in answer.body


@pytest.mark.parametrize(
    "fields",
    [
        b'"min_p":"x"', b'"top_k":[]', b'"structured_outputs":{"regex":"("}', b'"structured_outputs":5',
        b'"response_format":{"type":"json_schema"}', b'"response_format":{"type":"wat"}', b'"response_format":7',
        b'"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"wat"}}}',
        b'"logit_bias":{"99999999":1}', b'"logit_bias":{"x":1}', b'"stop_token_ids":["x"]',
        b'"stop_token_ids":[99999999999999999999]', b'"bad_words":[5]', b'"prompt_logprobs":-7',
        b'"truncate_prompt_tokens":-9', b'"allowed_token_ids":[]', b'"allowed_token_ids":[900000]',
        b'"mm_processor_kwargs":5', b'"repetition_penalty":-1', b'"min_tokens":-1', b'"min_tokens":50',
        b'"lora_request":{}', b'"guided_json":"{"', b'"tools":[{}]', b'"tool_choice":"auto"', b'"documents":5',
        b'"chat_template_kwargs":5', b'"chat_template_kwargs":{"messages":1}', b'"reasoning_effort":7',
        b'"length_penalty":"x"', b'"use_beam_search":true,"n":2', b'"logits_processors":["os.system"]',
        b'"add_generation_prompt":true,"continue_final_message":true', b'"seed":-1', b'"cache_salt":""',
        b'"truncate_prompt_tokens":5', b'"prompt_logprobs":1', b'"top_logprobs":5',
        b'"logprobs":true,"top_logprobs":20', b'"top_k":1e21', b'"stream_interval":1e21', b'"prompt_embeds":"x"',
        b'"extra_args":{"a":1}', b'"return_tokens_as_token_ids":"x"', b'"parallel_tool_calls":"x"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [b"false", b"true"])
def test_the_engines_own_fields_never_become_server_errors(
    stack: Stack, key: str, fields: bytes, stream: bytes
) -> None:
    answer = post(stack, key, GOOD[:-1] + b',"stream":' + stream + b"," + fields + b"}")
    if answer.status != 200:
        refused(answer, 400, 422)
    # A stream that began well must not end in an error event either.
    assert b"engine_failed" not in answer.body


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/keys", "/v1/releases", "/v1/feedback"])
@pytest.mark.parametrize("told", [True, False])
def test_a_hundred_megabytes_are_refused(stack: Stack, key: str, path: str, told: bool) -> None:
    if told:
        start = request("POST", path, headers=[*head(key), ("content-length", str(HUNDRED_MB))], length=False)
        body: Iterator[bytes] = iter([b" " * (1 << 20)] * (HUNDRED_MB >> 20))
    else:
        start = request("POST", path, headers=[*head(key), ("transfer-encoding", "chunked")], length=False)
        body = iter(chunked(HUNDRED_MB))
    answer = send(stack.port, (piece for part in ([start], body) for piece in part))
    # The server may close its side while we are still sending, and take the answer's bytes with it.
    if answer.status:
        refused(answer, 413)
    else:
        assert not told


def test_sizes_that_lie(stack: Stack, key: str) -> None:
    for value in ("-1", "+5", "1e3", "0x10", "99999999999999999999999999", "5, 5", "five", ""):
        start = request("POST", CHAT, headers=[*head(key), ("content-length", value)], length=False)
        answer = send(stack.port, [start + GOOD])
        assert answer.status in {0, 400, 413}, (value, answer.status)


SMUGGLED = GOOD + b"GET /v1/keys HTTP/1.1\r\nhost: a\r\n\r\n"
TRICKS = {
    "two lengths": [("content-length", "5"), ("content-length", str(len(GOOD)))],
    "length and chunked": [("content-length", "5"), ("transfer-encoding", "chunked")],
    "chunked and length": [("transfer-encoding", "chunked"), ("content-length", "5")],
    "unknown coding": [("transfer-encoding", "gzip")],
    "chunked twice": [("transfer-encoding", "chunked, chunked")],
    "xchunked": [("transfer-encoding", "xchunked"), ("content-length", "5")],
    "name with a space": [("content-length ", "5")],
    "name with a nul": [("x-\x00", "5"), ("content-length", "5")],
    "value with a nul": [("x-a", "\x00"), ("content-length", "5")],
    "folded": [("x-a", "1\r\n 2"), ("content-length", "5")],
    "bare line feed": [("x-a", "1\ncontent-length: 5")],
    "no name": [("", "5"), ("content-length", "5")],
}


@pytest.mark.parametrize("name", TRICKS)
def test_header_tricks_are_refused(stack: Stack, key: str, name: str) -> None:
    start = request("POST", CHAT, headers=[*head(key), *TRICKS[name]], length=False)
    answer = send(stack.port, [start + SMUGGLED])
    assert answer.status in {0, 400, 411, 413}, (answer.status, answer.body[:300])


@pytest.mark.parametrize(
    "line",
    [
        b"GET", b"GET /", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9", b"GET / HTTP/1.1 x",
        b"G\x00T / HTTP/1.1", b"PRI * HTTP/2.0", b"\xff\xff\xff\xff", b"get / http/1.1", b" GET / HTTP/1.1",
    ],
)  # fmt: skip
def test_lines_that_are_no_request(stack: Stack, line: bytes) -> None:
    answer = send(stack.port, [line + b"\r\nhost: a\r\nconnection: close\r\n\r\n"], timeout=10)
    assert answer.status in range(400, 500) or answer.status == 0, answer.status


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "http://atelier/v1/models"), ("GET", "http://169.254.169.254/latest"), ("GET", "//v1/models"),
        ("GET", "/v1/../v1/keys"), ("GET", "/v1/%2e%2e/keys"), ("GET", "/v1/models%00"), ("GET", "/%ff%fe"),
        ("GET", "*"), ("OPTIONS", "*"), ("CONNECT", "atelier:80"), ("TRACE", "/v1/models"), ("PUT", CHAT),
        ("PATCH", "/v1/keys"), ("DELETE", "/v1/models"), ("PROPFIND", "/v1/models"), ("HEAD", CHAT),
        ("GET", "/v1/models/" + "x" * 4000), ("GET", "/" + "a" * 20_000), ("GET", "/v1/models?" + "a=b&" * 5000),
        ("GET", "/v1/models/\xe9\xff"), ("GET", "/v1/adapters/..%2f..%2fetc"), ("GET", "/v1/adapters/x/..%2fy"),
        ("GET", "/v1/adapters/x/%00"), ("DELETE", "/v1/keys/%00%ff"), ("GET", "/v1/audit?limit=-1"),
        ("GET", "/v1/audit?after=99999999999999999999"), ("GET", "/v1/audit?since=nan"),
        ("GET", "/v1/usage?since=0001-01-01&until=9999-12-31"), ("GET", "/v1/usage?since=x&until=y"),
        ("DELETE", "/v1/releases/..%2f"), ("DELETE", "/v1/releases/%F0%9F%98%80"), ("GET", "/invocations"),
        ("POST", "/v1/load_lora_adapter"), ("POST", "/v1/chat/completions/"), ("GET", "/metrics/../v1/keys"),
    ],
)  # fmt: skip
def test_odd_methods_and_targets(stack: Stack, key: str, method: str, target: str) -> None:
    answer = send(stack.port, [request(method, target, headers=head(key))])
    if "http://atelier" in target and answer.status == 200:
        return  # An absolute form that names a path of ours is a request for that path.
    assert answer.status in {307, *range(400, 500)} or answer.status == 0, (answer.status, answer.body[:300])
    if answer.status >= 400 and method != "HEAD" and answer.headers.get("x-request-id"):
        refused(answer)


@pytest.mark.parametrize(
    "value",
    [
        "", "Bearer", "Bearer ", "Basic YTpi", "bearer", "Bearer \xff\xfe", "Bearer atl-\xe4\xf6", "atl-x",
        "Bearer " + "a" * 10_000, "Bearer atl-" + "a" * 500, "Bearer atl-x\ty", "Bearer atl-0000000000000000-x y",
        "Bearer null", "Digest x", "Bearer atl-*", "Bearer atl-../../x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [CHAT, "/v1/keys"])
def test_bad_credentials_are_401(stack: Stack, value: str, path: str) -> None:
    headers = [("authorization", value), ("content-type", "application/json")]
    answer = send(stack.port, [request("POST", path, headers=headers, body=GOOD)])
    refused(answer, 401)


def test_two_authorization_headers_do_not_add_up(stack: Stack, key: str) -> None:
    user = stack.make_key(scopes=["chat"])
    for first, last in ((user, key), (key, user)):
        headers = [("authorization", f"Bearer {first}"), ("authorization", f"Bearer {last}")]
        answer = send(stack.port, [request("GET", "/v1/keys", headers=headers)])
        assert answer.status == (403 if first == user else 200)


def test_headers_without_end_are_cut_off(stack: Stack, key: str) -> None:
    def endless() -> Iterator[bytes]:
        yield b"GET /v1/models HTTP/1.1\r\nhost: a\r\n"
        for number in range(2000):
            yield b"x-%d: " % number + b"a" * 50_000 + b"\r\n"

    answer = send(stack.port, endless())
    assert answer.status in {0, 400, 431}


def test_one_huge_header_is_cut_off(stack: Stack, key: str) -> None:
    answer = send(stack.port, [b"GET / HTTP/1.1\r\nhost: a\r\nx: ", *([b"a" * 1_000_000] * 50)])
    assert answer.status in {0, 400, 431}


def test_the_wrong_content_type_is_a_client_error(stack: Stack, key: str) -> None:
    for kind in ("text/plain", "multipart/form-data", "application/json; charset=utf-16", "\xff", ""):
        body = b'{"name": 5}'
        for path in ("/v1/keys", "/v1/adapters"):
            answer = send(stack.port, [request("POST", path, headers=head(key, kind), body=body)])
            refused(answer, 400, 415, 422)
