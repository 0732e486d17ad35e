# Two images: `serve`, for the one process that strangers reach, and `sagestream`, the default, for all others.
# The verb chooses the process. Builds happen in stages of their own, so that no compiler, pip, uv or package cache is
# shipped. Python 3.11 is the version that the tests run on.

FROM python:3.11-slim AS build
# The image's user cannot write into /venv: what Python compiles is made now.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /src
# The dependencies are a layer of their own, without the code, which changes far more often.
COPY pyproject.toml constraints.txt ./
RUN python -m venv /uv && /uv/bin/pip install --constraint constraints.txt uv && python -m venv --without-pip /venv
ENV PATH="/venv/bin:/uv/bin:${PATH}" VIRTUAL_ENV=/venv

FROM build AS serve-build
# Not empty: with the extra `otel`, for traces.
ARG TRACES=""
RUN uv pip install --constraint constraints.txt --requirement pyproject.toml ${TRACES:+--extra otel}
COPY deploy/leave_out.py ./
RUN python leave_out.py

FROM build AS sagestream-build
# Where else pip may look for torch. The default index's torch for Linux brings several gigabytes of accelerator
# libraries; an index of CPU builds, named here at build time, makes the image a fraction of that.
ARG PIP_EXTRA_INDEX_URL=""
ARG EXTRAS="stream,training,monitoring,postgresql"
ARG TRACES=""
# As in the Makefile, pip brings torch, where an extra asks for it, and uv the rest.
RUN extras=$(echo "${EXTRAS}${TRACES:+,otel}" | sed -E 's/([^,]+),?/--extra \1 /g') \
    && uv pip compile --quiet --constraint constraints.txt ${extras} pyproject.toml --output-file /tmp/all.txt \
    && sed -n '/^torch==/p' /tmp/all.txt > /tmp/torch.txt \
    && /uv/bin/pip --python /venv/bin/python install --constraint constraints.txt --no-deps --requirement /tmp/torch.txt \
    && uv pip install --constraint constraints.txt --requirement pyproject.toml ${extras}
COPY deploy/leave_out.py ./
# A library that misses what was left out ends the build.
RUN python leave_out.py && for library in torch torch_geometric numba sklearn scipy pandas pyarrow statsmodels evidently; \
    do if [ -d "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/$library" ]; \
    then python -Bc "import $library" || exit 1; fi; done

# The code: some megabytes, found by both environments through a path file.
FROM build AS code
COPY . .
RUN uv pip install --no-deps --target /app .

FROM python:3.11-slim AS base
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Sagestream" \
      org.opencontainers.image.description="A streaming recommender for online shops" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT"
# The state directory is closed to others, and a named volume mounted there takes over its owner and mode.
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/sagestream --shell /usr/sbin/nologin sagestream \
    && chmod 700 /var/lib/sagestream \
    && python -m pip uninstall --quiet --yes --root-user-action ignore pip
# A name server that does not answer for a stopped service delays each caller: by two seconds, in place of ten.
ENV PATH="/venv/bin:${PATH}" \
    RES_OPTIONS="timeout:1 attempts:2" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/tmp/numba \
    DO_NOT_TRACK=1 \
    HOME=/tmp \
    SAGESTREAM_STATE_DIR=/var/lib/sagestream
WORKDIR /tmp
ENTRYPOINT ["sagestream"]

FROM base AS serve
COPY --from=serve-build /venv /venv
COPY --from=code /app /app
RUN echo /app > "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/sagestream.pth" \
    && ln -s /app/bin/sagestream /venv/bin/sagestream
USER 10001:10001
EXPOSE 8000
CMD ["serve"]

FROM base AS sagestream
COPY --from=sagestream-build /venv /venv
COPY --from=code /app /app
RUN echo /app > "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/sagestream.pth" \
    && ln -s /app/bin/sagestream /venv/bin/sagestream
USER 10001:10001
CMD ["--help"]
