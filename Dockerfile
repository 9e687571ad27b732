# The worker and its commands with what they need at runtime, Kafka and an OMS too: no embedded servers, demo or tests.
#
# The base image is pinned by its version tag. A tag can be moved by whoever publishes it; where that matters, append
# the digest that your registry shows for it (python:3.11.13-slim-bookworm@sha256:…).
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
COPY requirements.txt requirements-kafka.txt requirements-oms.txt /tmp/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --no-cache-dir --no-deps --require-hashes \
        -r /tmp/requirements.txt -r /tmp/requirements-kafka.txt -r /tmp/requirements-oms.txt

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin worker \
    && install --directory --mode=700 --owner=worker --group=worker /var/lib/strategy-worker
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY main.py config.py ./
COPY models models
COPY services services
COPY strategies strategies
COPY migrations migrations
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HTTP_HOST=0.0.0.0 \
    RUN_PATH=/var/lib/strategy-worker
USER 10001:10001
EXPOSE 8080 9091
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('HEALTH_PORT', '8080')), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
# Exec form: SIGTERM reaches Python itself. Run it with an init (`docker run --init`), since the kernel keeps from
# process 1 every signal that it has not yet asked for.
# Have it started again when it ends (`--restart unless-stopped`): a worker that a strategy froze ends itself, and what
# it left in RUN_PATH keeps that strategy from freezing the next one. A container that is made anew needs a volume there.
CMD ["python", "main.py"]
