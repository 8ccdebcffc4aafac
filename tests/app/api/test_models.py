"""What `GET /v1/models` shows to whom."""

from __future__ import annotations

from tests.stack import Gateway, Stack, eventually


def names(stack: Stack, key: str | None = None, url: str | None = None) -> set[str]:
    with stack.http(key, url) as client:
        answer = client.get("/v1/models")
    assert answer.status_code == 200, answer.text
    assert answer.json()["object"] == "list"
    for entry in answer.json()["data"]:
        assert entry.keys() >= {"id", "object", "created", "owned_by"}
        assert entry["object"] == "model"
        assert isinstance(entry["created"], int)
    return {entry["id"] for entry in answer.json()["data"]}


def test_users_see_assistants_and_trainers_see_versions_too(
    stack: Stack, second: Gateway, marked: tuple[str, str]
) -> None:
    version, _ = marked
    eventually(lambda: version in names(stack, url=second.url))
    user, trainer = stack.make_key(), stack.make_key(scopes=["chat", "adapters"])
    assert names(stack, user, second.url) == {"plain", "orphan", "short", "cashier"}
    assert names(stack, trainer, second.url) >= {"plain", "contract", version}


def test_a_key_sees_only_the_models_it_may_use(stack: Stack, marked: tuple[str, str]) -> None:
    version, _ = marked
    scopes = ["chat", "adapters"]
    assert names(stack, stack.make_key(models=["bank"], scopes=scopes)) == {"bank"}
    assert names(stack, stack.make_key(models=["contract@*"], scopes=scopes)) == {version}
    assert names(stack, stack.make_key(models=["nothing"], scopes=scopes)) == set()


def test_one_model(stack: Stack, marked: tuple[str, str]) -> None:
    version, _ = marked
    client = stack.openai()
    assert client.models.retrieve("general").id == "general"
    assert client.models.retrieve(version).id == version
    with stack.http(stack.make_key(models=["bank"])) as http:
        assert http.get("/v1/models/bank").status_code == 200
        for hidden in ("general", "nowhere", "%00", "x" * 500):
            answer = http.get(f"/v1/models/{hidden}")
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "model_not_found"


def test_names_of_versions_are_not_told_to_who_may_not_use_them(
    stack: Stack, marked: tuple[str, str]
) -> None:
    """Unknown, foreign and unserved models give users one and the same answer."""
    version, _ = marked
    with stack.http(stack.make_key()) as client:
        answers = {
            (answer.status_code, answer.json()["error"]["message"].replace(model, "?"))
            for model in (version, "contract", "contract@000000000000", "nowhere")
            for answer in [
                client.post(
                    "/v1/chat/completions",
                    json={"model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1},
                )
            ]
        }
    assert len(answers) == 1
    assert next(iter(answers))[0] == 404
