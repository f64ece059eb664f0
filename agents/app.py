"""The Faust application of one worker: thin wiring, nothing that decides.

Faust brings the consumer group, rebalances, agents and shutdown. Each agent
hands its slices to the runtime, which works on them lane by lane.
"""

import asyncio
import gc
import logging
import os
import socket
from dataclasses import replace
from functools import partial
from typing import Any

import faust
import structlog

from streams.http import MetricsServer
from streams.kafka.admin import TopicsError, describe_topics
from streams.kafka.folders import claim_folder
from streams.kafka.produce import partition_of
from streams.kafka.reference_feed import ReferenceFeed
from streams.kafka.runtime import Runtime
from streams.kafka.transport import new_transport
from streams.metrics import Metrics
from streams.reference import Reference
from streams.settings import Settings
from streams.topology import stages

__all__ = ["create_app", "run_worker"]

log = structlog.get_logger(__name__)


class _SliceSchema(faust.Schema[Any, Any]):
    """Slices are not (de)serialized."""

    def loads_key(self, app, message, **kwargs):  # type: ignore[no-untyped-def]
        return None

    def loads_value(self, app, message, **kwargs):  # type: ignore[no-untyped-def]
        return message.value


class WorkerApp(faust.App):
    """A Faust app that ends its runtime with itself."""

    runtime: Runtime
    reference_feed: ReferenceFeed

    async def on_stop(self) -> None:
        """Close lanes, stores and producer after the consumer has stopped."""
        await super().on_stop()
        await self.runtime.stop()
        await self.reference_feed.stop()


def create_app(settings: Settings, *, metrics: Metrics) -> WorkerApp:
    """Return the application of one worker; nothing is connected yet.

    Args:
        settings: with ``partitions`` equal to what the input topics have.
        metrics: where numbers go.
    """
    reference = Reference()
    name = f"{socket.gethostname()}:{os.getpid()}"
    timeout = settings.session_timeout_ms / 1_000
    app = WorkerApp(
        settings.topic_prefix + settings.application,
        broker=[f"kafka://{address}" for address in settings.broker.split(",")],
        store="memory://",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        broker_session_timeout=timeout,
        broker_rebalance_timeout=timeout,
        broker_heartbeat_interval=timeout / 3,
        broker_request_timeout=max(600.0, 2 * timeout),
        broker_commit_interval=1.0,
        stream_buffer_maxsize=16,
        worker_redirect_stdouts=False,
        consumer_max_fetch_size=4 * 2**20,
        datadir=str(settings.state_dir / "faust"),
    )
    app.reference_feed = ReferenceFeed(settings, reference)
    app.runtime = Runtime(
        settings,
        stages(
            settings,
            metrics=metrics,
            reference=reference,
            partition_of=partial(_partition_of, settings.partitions),
        ),
        metrics=metrics,
        folder=claim_folder(settings.state_dir) if settings.store == "rocksdb" else None,
        prepare=app.reference_feed.load,
        name=name,
    )
    app.transport = new_transport(app.runtime)(app.conf.broker_consumer, app)
    _declare_agents(app, settings)
    return app


def _declare_agents(app: WorkerApp, settings: Settings) -> None:
    runtime = app.runtime
    for stage in runtime.stages:
        topic = app.topic(*map(settings.topic, stage.sources), schema=_SliceSchema(), internal=False)

        @app.agent(topic, name=stage.name)
        async def agent(slices: Any) -> None:
            async for event in slices.noack().events():
                await runtime.handle(event.value, event.ack)

    @app.timer(1.0)
    async def watch() -> None:
        runtime.watch()


def _partition_of(partitions: int, key: bytes) -> int:
    return partition_of(key, partitions)


async def _partitions(settings: Settings) -> int:
    """Return how many partitions the inputs have; raises ``TopicsError`` when a topic is missing."""
    statuses = await describe_topics(settings.broker, settings)
    missing = [status.name for status in statuses if not status.partitions]
    if missing:
        names = ", ".join(missing)
        raise TopicsError(f"topics: {names} missing on {settings.broker}; run: campaignwatch topics create")
    return next(status.partitions for status in statuses if status.contract.partitions is None)


def _spare_time() -> None:
    """Do without what takes a fifth of a worker's time and gives nothing."""
    # Records come and go by the ten thousand and hold no cycles; the collector would look at each.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    # Faust sets the root logger to debug and filters at the handler: each request would make log records for nobody.
    logging.disable(logging.DEBUG)


def run_worker(settings: Settings) -> None:
    """Run one worker until it is told to end (SIGINT, SIGTERM); blocks.

    Raises ``TopicsError`` when the broker cannot be reached or topics are missing.
    """
    _spare_time()
    settings = replace(settings, partitions=asyncio.run(_partitions(settings)))
    metrics = Metrics(settings.named_campaigns)
    app = create_app(settings, metrics=metrics)
    server = MetricsServer(settings.metrics_host, settings.metrics_port, metrics=metrics, health=app.runtime.health)
    server.start()
    log.info("worker starts", metrics=server.url.removeprefix("http://"), broker=settings.broker)
    nowhere = open(os.devnull, "w")  # noqa: SIM115  (Faust's spinner writes there once more when the process ends)
    worker = faust.Worker(app, loglevel=logging.WARNING, redirect_stdouts=False, quiet=True, stdout=nowhere)
    worker.execute_from_commandline()
