# One image, one command a service: docker run IMAGE classifier
FROM python:3.13-slim AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
# The packages first: these layers stay as long as the locks do. The build tools have an environment that is not shipped.
COPY requirements.lock requirements-dev.lock ./
RUN /venv/bin/pip install --require-hashes -r requirements.lock
RUN python -m venv /tools && /tools/bin/pip install --require-hashes -r requirements-dev.lock
COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY shared shared
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /venv/bin/pip install --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/mailroom --create-home mailroom
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Every service shows /health, /ready and /metrics there, to the containers of its network.
ENV MAILROOM_METRICS_HOST=0.0.0.0 MAILROOM_METRICS_PORT=9464
USER mailroom
WORKDIR /var/lib/mailroom
ENTRYPOINT ["mailroom"]
CMD ["--help"]
