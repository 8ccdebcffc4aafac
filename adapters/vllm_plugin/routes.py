"""The engine's routes under /atelier: a `vllm.endpoint_plugins` entry point."""

import asyncio
import json
import os
import secrets
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from huggingface_hub import snapshot_download  # type: ignore[import-not-found]  # the engine's own

from .base_model import BaseModel, fingerprint, read_config
from .gate import Gate
from .load_order import RefusedError
from .queue_depth import QueueDepth
from .residency import Residency

MAX_BODY_BYTES = 64 * 1024


class EngineRoutes:
    """vLLM makes one, attaches its routes while building the app, and hands it the engine before serving."""

    name = "atelier"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        """Register the routes; they answer once `init_state` has run."""
        self._app = app
        app.add_api_route("/atelier/base", self._describe, methods=["GET"])
        app.add_api_route("/atelier/residency", self._list, methods=["GET"])
        app.add_api_route("/atelier/adapters", self._load, methods=["POST"])
        app.add_api_route("/atelier/adapters/{name}", self._remove, methods=["DELETE"])

    async def init_state(self, engine_client: Any, state: Any, args: Namespace) -> None:
        """Take the engine and close the gate; vLLM calls it last before it serves."""
        # Set here and not through add_middleware: what vLLM adds after the routes would stand outside the
        # gate. With a stack in place add_middleware raises, so nothing can slip in front of it later.
        inside = self._app.middleware_stack or self._app.build_middleware_stack()
        self._app.middleware_stack = Gate(inside, os.environ.get("ATELIER_ENGINE_TOKEN"))
        root = os.environ.get("ATELIER_ADAPTER_ROOT")
        self._engine = engine_client
        self._epoch = secrets.token_hex(8)
        self._residency = Residency(state.openai_serving_models, engine_client, Path(root) if root else None)
        self._depth = QueueDepth(engine_client.vllm_config, [0])
        if engine_client.logger_manager is not None:
            engine_client.logger_manager.stat_loggers.append(self._depth)
        # In the background: hashing many gigabytes of weights must not hold up the start.
        describe = asyncio.to_thread(describe_base, engine_client, args, self._epoch)
        self._base = asyncio.create_task(describe)

    async def _describe(self) -> JSONResponse:
        # Shielded: a caller that goes away must not cancel the one computation for all.
        return JSONResponse(asdict(await asyncio.shield(self._base)))

    async def _list(self) -> JSONResponse:
        unfinished = self._engine.output_processor.get_num_unfinished_requests()
        running, waiting = self._depth.split(unfinished)
        adapters = self._residency.names()
        return JSONResponse(
            {"epoch": self._epoch, "adapters": adapters, "running": running, "waiting": waiting}
        )

    async def _load(self, request: Request) -> JSONResponse:
        try:
            body = await read_object(request)
            name = await self._residency.load(body.get("name"), body.get("path"))
        except RefusedError as refused:
            return refusal(refused)
        return JSONResponse({"name": name, "epoch": self._epoch})

    async def _remove(self, name: str) -> JSONResponse:
        try:
            await self._residency.remove(name)
        except RefusedError as refused:
            return refusal(refused)
        return JSONResponse({"name": name, "epoch": self._epoch})


def describe_base(engine: Any, args: Namespace, epoch: str) -> BaseModel:
    """Read and hash the served model's folder; slow for a large one. Raises OSError or ValueError."""
    lora = engine.vllm_config.lora_config
    folder = model_folder(engine.model_config.model)
    served = args.served_model_name[0] if args.served_model_name else args.model
    return BaseModel(
        model=served,
        fingerprint=fingerprint(folder),
        config=read_config(folder),
        max_lora_rank=lora.max_lora_rank if lora else 0,
        max_loras=lora.max_loras if lora else 0,
        max_cpu_loras=(lora.max_cpu_loras or lora.max_loras) if lora else 0,
        epoch=epoch,
    )


def model_folder(model: str) -> Path:
    """The local folder of a model named by path or hub id; vLLM has fetched the latter by now."""
    folder = Path(model)
    if folder.is_dir():
        return folder
    return Path(snapshot_download(model, local_files_only=True))


async def read_object(request: Request) -> dict[str, Any]:
    """The request's body as a JSON object; raises RefusedError 400 or 413."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RefusedError(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RefusedError(400, 'the body is not a JSON object such as {"name": …, "path": …}')
    return value


def refusal(refused: RefusedError) -> JSONResponse:
    """An OpenAI-style error body."""
    kind = "server_error" if refused.status >= 500 else "invalid_request_error"
    body = {"error": {"message": refused.message, "type": kind, "code": refused.status}}
    return JSONResponse(body, status_code=refused.status)
