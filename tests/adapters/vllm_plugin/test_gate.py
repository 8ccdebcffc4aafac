"""The gate by itself, and in front of the real engine on every way in."""

import http.client
from typing import Any

import pytest

from adapters.vllm_plugin.gate import OPEN, Gate
from tests.adapters.conftest import TOKEN
from tests.engine_process import EngineProcess, UnixConnection

VERSION = "fees@0123456789ab"


async def call(scope: dict[str, Any], token: str | None = None) -> tuple[list[Any], bool]:
    """(messages sent, whether the app inside was reached)."""
    sent: list[Any] = []
    reached = False

    async def app(scope: Any, receive: Any, send_inside: Any) -> None:
        nonlocal reached
        reached = True
        # Untouched: a stream costs nothing when the very same callables arrive.
        assert receive is receive_outside
        assert send_inside is send

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive_outside() -> dict[str, Any]:
        raise AssertionError("the gate must not read the body")

    await Gate(app, token)(scope, receive_outside, send)
    return sent, reached


def http_scope(method: str, path: str, *authorization: bytes) -> dict[str, Any]:
    headers = [(b"authorization", value) for value in authorization]
    return {"type": "http", "method": method, "path": path, "headers": headers}


@pytest.mark.parametrize(
    ("method", "path"), [*sorted(OPEN), ("DELETE", f"/atelier/adapters/{VERSION}")], ids=" ".join
)
async def test_listed_requests_pass_untouched(method: str, path: str) -> None:
    assert await call(http_scope(method, path)) == ([], True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/load_lora_adapter"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "//v1/chat/completions"),
        ("POST", "/v1/../v1/chat/completions"),
        ("POST", "/V1/chat/completions"),
        ("POST", "/v1/chat/completions\n"),
        ("POST", "/v1/chat/completions/batch"),
        ("POST", ""),
        ("GET", "/"),
        ("HEAD", "/health"),
        ("OPTIONS", "/v1/chat/completions"),
        ("post", "/v1/completions"),
        ("TRACE", "/v1/models"),
        ("GET", "/atelier/adapters"),
        ("POST", "/atelier/adapters/"),
        ("DELETE", "/atelier/adapters"),
        ("DELETE", "/atelier/adapters/"),
        ("DELETE", "/atelier/adapters/base"),
        ("DELETE", f"/atelier/adapters/{VERSION}/"),
        ("DELETE", f"/atelier/adapters/{VERSION}\n"),
        ("DELETE", f"/atelier/adapters/../{VERSION}"),
        ("DELETE", "/atelier/adapters/Fees@0123456789ab"),
        ("DELETE", "/atelier/adapters/fees@0123456789٣b"),
        ("GET", f"/atelier/adapters/{VERSION}"),
    ],
)
async def test_anything_else_is_404_and_never_reaches_the_app(method: str, path: str) -> None:
    sent, reached = await call(http_scope(method, path))
    assert not reached
    assert [sent[0]["status"], sent[1]["type"]] == [404, "http.response.body"]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (b"Bearer secre",),
        (b"Bearer secret ",),
        (b"bearer secret",),
        (b"secret",),
        (b"Basic secret",),
        (b"",),
        (b"Bearer \xff\xfe",),
        (b"Bearer secret", b"Bearer secret"),
    ],
)
async def test_a_wrong_token_is_401(headers: tuple[bytes, ...]) -> None:
    sent, reached = await call(http_scope("GET", "/v1/models", *headers), "secret")
    assert (sent[0]["status"], reached) == (401, False)


async def test_the_right_token_opens_listed_paths_only() -> None:
    assert await call(http_scope("GET", "/v1/models", b"Bearer secret"), "secret") == ([], True)
    sent, reached = await call(http_scope("GET", "/version", b"Bearer secret"), "secret")
    assert (sent[0]["status"], reached) == (404, False)


async def test_health_needs_no_token() -> None:
    assert await call(http_scope("GET", "/health"), "secret") == ([], True)


async def test_websockets_are_closed_and_unknown_kinds_left_alone() -> None:
    sent, reached = await call({"type": "websocket", "path": "/v1/realtime", "headers": []})
    assert ([message["type"] for message in sent], reached) == (["websocket.close"], False)
    assert await call({"type": "webtransport", "path": "/health", "headers": []}) == ([], False)
    assert await call({"type": "lifespan"}) == ([], True)


# Every path the stock server has; the routes it prints at the start are compared with this list below.
STOCK_CLOSED = {
    "/openapi.json",
    "/docs",
    "/docs/oauth2-redirect",
    "/redoc",
    "/load",
    "/version",
    "/kv_event_sources",
    "/detokenize",
    "/v1/systemone",
    "/ping",
    "/invocations",
    "/v1/chat/completions/batch",
    "/v1/responses",
    "/v1/responses/{response_id}",
    "/v1/responses/{response_id}/cancel",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/generative_scoring",
    "/scale_elastic_ep",
    "/is_scaling_elastic_ep",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/adapters",
    "/adapters/{adapter_name}",
    "/pause",
    "/resume",
    "/sleep",
    "/wake_up",
    "/collective_rpc",
    "/reset_prefix_cache",
    "/server_info",
}


def printed_routes(engine: EngineProcess) -> set[str]:
    """The paths of all routes the running server has, as it logs them."""
    marked = (line.partition("Route: ")[2] for line in engine.log.read_text(errors="replace").splitlines())
    return {rest.partition(",")[0] for rest in marked if rest}


@pytest.mark.engine
def test_no_stock_route_but_the_listed_ones_answers(shared_engine: EngineProcess) -> None:
    routes = printed_routes(shared_engine)
    assert {"/v1/chat/completions", "/metrics", "/invocations"} <= routes, "the log's format has changed"
    closed = (routes | STOCK_CLOSED) - {path for _, path in OPEN} - {"/atelier/adapters/{name}"}
    for path in sorted(closed):
        concrete = path.replace("{response_id}", "r1").replace("{adapter_name}", "a1")
        for method in ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"):
            body: object = {} if method in {"POST", "PUT", "PATCH"} else None
            status, answer = shared_engine.request(method, concrete, body)
            assert status == 404, f"{method} {path}: {status}"
            assert "reached through the gateway" in str(answer), f"{method} {path} was answered by vLLM"


@pytest.mark.engine
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "//v1/load_lora_adapter"),
        ("POST", "/v1/load_lora_adapter/"),
        ("POST", "/v1/chat/..%2fload_lora_adapter"),
        ("POST", "/v1/%6coad_lora_adapter"),
        ("POST", "/v1/chat/completions/../../load_lora_adapter"),
        ("POST", "/invocations?x=/v1/completions"),
        ("POST", "/invocations#/v1/completions"),
        ("POST", "http://engine/invocations"),
        ("GET", "/health/../version"),
        ("GET", "/%2e%2e/version"),
        ("GET", "/v1/models/"),
        ("HEAD", "/metrics"),
        ("OPTIONS", "/v1/chat/completions"),
    ],
)
def test_odd_ways_in_are_closed(shared_engine: EngineProcess, method: str, path: str) -> None:
    status, _ = shared_engine.request(method, path, {} if method == "POST" else None)
    assert status in {400, 404}


@pytest.mark.engine
def test_the_engine_asks_for_its_token(shared_engine: EngineProcess) -> None:
    for method, path in sorted(OPEN - {("GET", "/health")}):
        assert shared_engine.request(method, path, token="")[0] == 401, path
        assert shared_engine.request(method, path, token=TOKEN + "x")[0] == 401, path
    assert shared_engine.request("GET", "/health", token="")[0] == 200
    assert shared_engine.request("GET", "/v1/models")[0] == 200


@pytest.mark.engine
def test_a_web_socket_handshake_is_refused(shared_engine: EngineProcess) -> None:
    connection: http.client.HTTPConnection = UnixConnection(shared_engine.socket, 10)
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    connection.request("GET", "/v1/realtime", headers=headers)
    status = connection.getresponse().status
    connection.close()
    assert status in {403, 404}


@pytest.mark.engine
def test_an_unknown_model_is_404_and_the_base_never_answers_for_it(shared_engine: EngineProcess) -> None:
    for model in ("fees@0123456789ab", "../outside/x", "BASE", "base "):
        body = {"model": model, "prompt": "hello", "max_tokens": 1}
        assert shared_engine.request("POST", "/v1/completions", body)[0] == 404, model
