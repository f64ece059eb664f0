# syntax=docker/dockerfile:1
# Built in the full image (a compiler is there for platforms without wheels), run in the slim one, without root.
FROM python:3.12-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/campaignwatch
ENV PATH=/opt/campaignwatch/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY streams streams
COPY agents agents
RUN pip install --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --create-home campaignwatch \
    && install --directory --owner campaignwatch --group campaignwatch /var/lib/campaignwatch
COPY --from=build /opt/campaignwatch /opt/campaignwatch
ENV PATH=/opt/campaignwatch/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CAMPAIGNWATCH_STATE_DIR=/var/lib/campaignwatch \
    CAMPAIGNWATCH_METRICS_HOST=0.0.0.0
USER campaignwatch
WORKDIR /home/campaignwatch
EXPOSE 9464
# SIGTERM lets a worker finish its slice and leave the group, so that others take over at once.
STOPSIGNAL SIGTERM
ENTRYPOINT ["campaignwatch"]
CMD ["worker"]
