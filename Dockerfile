# The three programs, the libraries that they load, and nothing else: no shell, no package manager.
#
#   docker build --build-arg REVISION=$(git rev-parse HEAD) -t podtap:0.1.0 .
#
# BASE is a Debian 12 of any architecture on which podtap builds. Files carry the time SOURCE_DATE_EPOCH.
ARG BASE=debian:12-slim

FROM ${BASE} AS build
# A cache of compilations finds those of a tree that was built at the same place, in the same language.
ARG SOURCE_DIR=/src
ARG LANG
ARG CCACHE_DIR
WORKDIR ${SOURCE_DIR}
# The packages come first, and are not installed again when a source changes.
COPY scripts/install-packages.sh scripts/
COPY scripts/packages/build.txt scripts/packages/
RUN scripts/install-packages.sh build
COPY . .
ARG JOBS
RUN scripts/build.sh build "${JOBS:-$(nproc)}" podtap podtap-agent podtap-collector
ARG SOURCE_DATE_EPOCH=0
RUN SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH}" scripts/image-root.sh build /image

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="podtap" \
      org.opencontainers.image.description="Shows the HTTP exchanges of a node's pods" \
      org.opencontainers.image.licenses="Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build /image/ /
ENV PATH=/usr/bin
# Of nobody. The agent alone needs uid 0, and asks for it where it is run.
USER 65532:65532
CMD ["podtap", "--help"]
