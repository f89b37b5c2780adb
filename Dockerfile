# docker build -t jollor-slack .
# docker run -p 3000:3000 -v jollor-slack:/data --env-file .env jollor-slack
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_QUIET=1
# The locked versions come first: this layer changes only when the lock does. The build backend is locked, too.
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/bridge \
    && pip --python /opt/bridge install --no-deps --require-hashes --requirement requirements/run.txt \
    && pip install --no-deps --require-hashes --requirement requirements/build.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/bridge install --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="jollor-slack" \
      org.opencontainers.image.description="Answer your social-media inbox (Jollor) from Slack" \
      org.opencontainers.image.licenses="MIT"
# A fixed user id, so that a volume made once fits every later image.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin bridge \
    && install --directory --owner=bridge --group=bridge --mode=0700 /data
COPY --from=build /opt/bridge /opt/bridge
ENV PATH=/opt/bridge/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BRIDGE_HOST=0.0.0.0 \
    BRIDGE_DATABASE_URL=sqlite+aiosqlite:////data/bridge.db
USER 10001:10001
# The database and, beside it, the encryption key that was made on the first start.
VOLUME /data
WORKDIR /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('BRIDGE_PORT', '3000') + '/healthz', timeout=4)"]
ENTRYPOINT ["jollor-slack"]
CMD ["serve"]
