# Images of Atelier. Each target takes its base from BASE_IMAGE, so that a company can use its own:
#   docker build --target gateway -t atelier-gateway .
#   docker build --target engine --build-arg BASE_IMAGE=vllm/vllm-openai:v0.33.0 -t atelier-engine .
#   docker build --target trainer -t atelier-trainer .
# The gateway's base needs Python 3.11 or newer; the engine's needs vLLM 0.32 or newer (the official GPU image,
# or any image in which `python3 -m vllm.entrypoints.openai.api_server --help` works).
ARG BASE_IMAGE=python:3.11-slim-bookworm

# ---- gateway, node agent and command line: no torch, no vLLM ----
FROM ${BASE_IMAGE} AS gateway-build
WORKDIR /build
RUN python3 -m venv /opt/atelier
COPY requirements/gateway.txt requirements/gateway.txt
RUN /opt/atelier/bin/pip install --no-cache-dir --require-hashes -r requirements/gateway.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY guardrails guardrails
COPY adapters adapters
RUN /opt/atelier/bin/pip install --no-cache-dir --no-deps .

FROM ${BASE_IMAGE} AS gateway
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin atelier \
 && install -d -o atelier -g atelier -m 0700 /var/lib/atelier
COPY --from=gateway-build /opt/atelier /opt/atelier
COPY examples /opt/atelier/examples
ENV PATH=/opt/atelier/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ATELIER_VAR_DIR=/var/lib/atelier \
    ATELIER_ASSISTANTS_DIR=/opt/atelier/examples/bank/assistants \
    ATELIER_HOST=0.0.0.0
USER 10001:10001
WORKDIR /var/lib/atelier
EXPOSE 8080
# Needs ATELIER_STATE_URL. The same image runs the agent: `atelier agent`.
ENTRYPOINT ["atelier"]
CMD ["gateway"]

# ---- engine: the base's own vLLM with Atelier's plugin; nothing of the gateway ----
FROM ${BASE_IMAGE} AS engine
COPY adapters/vllm_plugin /tmp/atelier-vllm-plugin
RUN python3 -m pip install --no-cache-dir --no-deps /tmp/atelier-vllm-plugin \
 && rm -r /tmp/atelier-vllm-plugin \
 && useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin atelier \
 && install -d -o atelier -g atelier -m 0700 /var/lib/atelier
# The plugin closes every route the gateway does not use and asks for ATELIER_ENGINE_TOKEN.
ENV VLLM_PLUGINS=atelier \
    HF_HUB_OFFLINE=1 \
    VLLM_NO_USAGE_STATS=1 \
    DO_NOT_TRACK=1 \
    ATELIER_ADAPTER_ROOT=/var/lib/atelier/adapters
USER 10001:10001
WORKDIR /var/lib/atelier
EXPOSE 8000
ENTRYPOINT ["python3", "-P", "-m", "vllm.entrypoints.openai.api_server"]
CMD ["--host", "0.0.0.0", "--port", "8000", "--served-model-name", "base", "--enable-lora", \
     "--max-loras", "4", "--max-cpu-loras", "32", "--max-lora-rank", "64"]

# ---- trainer: PyTorch first, so that nothing else chooses another build of it; never part of the gateway ----
FROM ${BASE_IMAGE} AS trainer
WORKDIR /build
RUN python3 -m venv /opt/atelier
COPY requirements/torch.txt requirements/gateway.txt requirements/trainer.txt requirements/
RUN /opt/atelier/bin/pip install --no-cache-dir -r requirements/torch.txt \
 && /opt/atelier/bin/pip install --no-cache-dir --no-deps -r requirements/gateway.txt \
 && /opt/atelier/bin/pip install --no-cache-dir --no-deps -r requirements/trainer.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY guardrails guardrails
COPY adapters adapters
RUN /opt/atelier/bin/pip install --no-cache-dir --no-deps . \
 && useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin atelier \
 && install -d -o atelier -g atelier -m 0700 /var/lib/atelier
ENV PATH=/opt/atelier/bin:$PATH \
    ATELIER_TRAINER_PYTHON=/opt/atelier/bin/python \
    HF_HUB_OFFLINE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/atelier
# atelier train recipe.yaml, with recipe, data and base model mounted.
ENTRYPOINT ["atelier"]
CMD ["train", "--help"]
