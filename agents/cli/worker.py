"""``campaignwatch worker``: one process of the flow, until it is told to end."""

from agents.cli.options import BrokerOption, ConfigOption, PrefixOption, load_settings, require_hash_key

__all__ = ["worker"]


def worker(config: ConfigOption = None, broker: BrokerOption = None, topic_prefix: PrefixOption = None) -> None:
    """Run one worker: read events, keep exact state, publish numbers. Start as many as you need, on any machines."""
    loaded = load_settings(config, broker=broker, topic_prefix=topic_prefix)
    settings = require_hash_key(loaded.settings)
    from agents.app import run_worker
    from agents.logs import configure_logs

    configure_logs(settings.log_level)
    run_worker(settings)
