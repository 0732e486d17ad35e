# One image for every process: the verb chooses which. Two stages, so that no compiler, uv or package cache is shipped.
# Python 3.11 is the version that the tests run on.

FROM python:3.11-slim AS build

# Where else pip may look for torch. The default index's torch for Linux brings several gigabytes of accelerator
# libraries; an index of CPU builds, named here at build time, makes the image a fraction of that.
ARG PIP_EXTRA_INDEX_URL=""
ARG EXTRAS="stream,training,monitoring,postgresql"

# The image's user cannot write into /venv: what Python compiles is made now.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /src

# The dependencies are a layer of their own, without the code, which changes far more often. As in the Makefile, pip
# brings torch, where an extra asks for it, and uv the rest.
COPY pyproject.toml constraints.txt ./
RUN python -m venv /venv && python -m venv /uv && /uv/bin/pip install --constraint constraints.txt uv
ENV PATH="/venv/bin:/uv/bin:${PATH}" VIRTUAL_ENV=/venv
RUN extras=$(echo "${EXTRAS}" | sed -E 's/([^,]+),?/--extra \1 /g') \
    && uv pip compile --quiet --constraint constraints.txt ${extras} pyproject.toml --output-file /tmp/all.txt \
    && sed -n '/^torch==/p' /tmp/all.txt > /tmp/torch.txt \
    && pip install --constraint constraints.txt --no-deps --requirement /tmp/torch.txt \
    && uv pip install --constraint constraints.txt --requirement pyproject.toml ${extras}

COPY . .
RUN uv pip install --no-deps .

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
