# One image for every process: the verb chooses which. Two stages, so that no compiler or package cache is shipped.
# Python 3.11 is the version that the tests run on.

FROM python:3.11-slim AS build

# Where else pip may look. The default index's torch for Linux brings several gigabytes of accelerator libraries; an
# index of CPU builds, named here at build time, makes the image a fraction of that.
ARG PIP_EXTRA_INDEX_URL=""
ARG EXTRAS="stream,training,monitoring,postgresql"

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /venv
ENV PATH="/venv/bin:${PATH}"

# The dependencies are a layer of their own: empty packages stand for the code, which changes far more often.
COPY pyproject.toml README.md LICENSE ./
RUN python -c "import pathlib, tomllib; \
names = tomllib.loads(pathlib.Path('pyproject.toml').read_text())['tool']['setuptools']['packages']; \
[pathlib.Path(name.replace('.', '/')).mkdir(parents=True, exist_ok=True) for name in names]" \
    && pip install ".[${EXTRAS}]"

COPY . .
RUN pip install --no-deps --force-reinstall .

FROM python:3.11-slim

# The state directory is the user's home too: a named volume mounted there takes over its owner.
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/sagestream --shell /usr/sbin/nologin sagestream
COPY --from=build /venv /venv
ENV PATH="/venv/bin:${PATH}" \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/tmp/numba \
    DO_NOT_TRACK=1 \
    SAGESTREAM_STATE_DIR=/var/lib/sagestream
USER 10001:10001
WORKDIR /var/lib/sagestream
EXPOSE 8000
ENTRYPOINT ["sagestream"]
CMD ["--help"]
