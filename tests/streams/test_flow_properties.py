"""The promises about totals, as properties of whole flows: cut anyhow, shuffled, crashed, fenced, delivered twice."""

from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.windows import STATES, CampaignWindow
from streams.panes import PaneBatch
from streams.stage import Partition
from tests.streams.harness import BASE, Crash, Flow, ad, order, social
from tests.streams.harness import settings as flow_settings

SOURCES = (("clicks", 0), ("orders", 0), ("clicks", 1), ("social", 1))
BACK = (0, 0, 0, 0, 1, 5, 30, 59, 90, 130, 250, 700)
"""How far events lie behind the clock, seconds: in order, in disorder, late, too late."""
KINDS: dict[str, tuple[Callable[..., bytes], tuple[str, ...]]] = {
    "clicks": (ad, ("impression", "click", "pageview")),
    "orders": (order, ("order", "refund")),
    "social": (social, ("like", "complaint")),
}
LEVELS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}

mixed = st.integers(0, 2**16).map(lambda n: Random(n).getrandbits(64))
numbers = st.lists(mixed, min_size=90, max_size=150) | st.lists(mixed, max_size=30)
"""Each is a record, or a thing that happens. Small numbers are mixed: all choices are as likely as they are simple."""
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Counts = Counter[tuple[str, str]]
Key = tuple[str, str, str | None, str, int]


class Digits:
    """Takes small choices out of one number."""

    def __init__(self, number: int) -> None:
        self.left = number

    def below(self, base: int) -> int:
        self.left, digit = divmod(self.left, base)
        return digit

    def of(self, choices: Any) -> Any:
        return choices[self.below(len(choices))]


def filled(made: list[int]) -> Flow:
    """Return a flow whose input topics hold one record for each number: valid, repeated, in conflict, broken."""
    flow = Flow(flow_settings(revision_horizon_ms=600_000, dedupe_horizon_ms=3_600_000))
    clock, sent = 0, defaultdict[tuple[str, int], list[dict[str, Any]]](list)
    for number in made:
        digits = Digits(number)
        topic, partition = digits.of(SOURCES)
        build, kinds = KINDS[topic]
        clock += digits.of((0, 0, 0, 1, 2, 5, 30, 60))
        rest: dict[str, Any] = {"kind": digits.of(kinds), "user": f"u{digits.below(6)}"}
        rest |= {"channel": digits.of((None, "search", "email")), "campaign_id": digits.of(("c1", "c2", "ü/2"))}
        money, currency = digits.of((0, 1, 999_999, 10**15)) + digits.below(2), digits.of(("EUR", "JPY"))
        if topic == "clicks":
            rest |= {"cost_micros": money, "currency": currency}
        elif topic == "orders":
            rest |= {"revenue_micros": money, "currency": currency}
        rest |= {"second": clock - digits.of(BACK), "number": len(sent[topic, partition])}
        before, fault = sent[topic, partition], digits.below(12)
        if fault == 0:
            flow.send(topic, digits.of((None, b"", b"{", b"\xff", b"[]", b'{"type":"click"}')), partition=partition)
            continue
        if fault <= 2 and before:
            rest = dict(before[digits.below(len(before))])
            rest |= {"kind": kinds[0], "session_id": "other"} if fault == 1 and topic == "clicks" else {}
        before.append(rest)
        flow.send(topic, build(**rest), partition=partition)
    return flow


def counts_of(event: dict[str, Any]) -> Counts:
    """Return what one enriched event adds to each window it belongs to."""
    kind, counts = event["type"], Counter[tuple[str, str]]()
    if "platform" in event:
        return Counter({("interactions", kind): 1})
    counts[kind + "s", ""] = 1
    money = event.get("revenue_micros", event.get("cost_micros"))
    field = {"order": "revenue_micros", "refund": "refund_micros"}.get(kind, "spend_micros")
    counts[field, event["currency"] or ""] = money or 0
    return +counts


def truth(flow: Flow) -> dict[Key, Counts]:
    """Return what every window must hold, from the enriched events, each taken once."""
    wanted: defaultdict[Key, Counts] = defaultdict(Counter)
    for event in unique_enriched(flow).values():
        for level, length in LEVELS.items():
            start = event["event_time"] // length * length
            wanted["channel", event["channel"], None, level, start] += counts_of(event)
            wanted["campaign", event["channel"], event["campaign_id"] or "", level, start] += counts_of(event)
    return dict(wanted)


def unique_enriched(flow: Flow) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Return enriched events by position; written again, they must be the same."""
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    for topic in ("clicks", "orders", "social"):
        for event in flow.decoded(f"{topic}.enriched"):
            position = tuple(event["source"].values())
            assert found.setdefault(position, event) == event
    return found


def said(flow: Flow) -> dict[Key, CampaignWindow]:
    """Return the newest publication of each window; checks revisions and states on the way."""
    newest: dict[Key, CampaignWindow] = {}
    for window in flow.published():
        key = (window.scope, window.channel, window.campaign_id, window.level, window.start_ms)
        before = newest.get(key)
        if before is not None:
            assert window.revision > before.revision or window == before
            assert STATES.index(window.state) >= STATES.index(before.state)
        newest[key] = window
    return newest


def counted(window: CampaignWindow) -> Counts:
    """Return a window's counts in the form of :func:`counts_of`."""
    counts: Counts = Counter()
    for field, value in msgspec.structs.asdict(window).items():
        if isinstance(value, dict):
            counts.update({(field, part): amount for part, amount in value.items()})
        elif field in ("impressions", "clicks", "pageviews", "orders", "refunds"):
            counts[field, ""] = value
    return +counts


def ledgers(flow: Flow) -> dict[tuple[str, int], dict[str, int]]:
    """Return the ledgers, after checking that each explains every record."""
    found = {}
    for topic, number in SOURCES:
        owned = flow.ingest[number]
        ledger, log = owned.ingest.sources[topic].ledger, flow.topics[topic, number]
        assert owned.offsets.get(topic, 0) == len(log)
        if ledger is not None:
            assert ledger.unexplained(len(log)) == 0
            found[topic, number] = ledger.outcomes()
            assert sum(found[topic, number].values()) == len(log)
    return found


def check(flow: Flow) -> None:
    """Every record is explained, and every level of windows and the totals hold just what was accepted or late."""
    outcomes = sum((Counter(found) for found in ledgers(flow).values()), Counter[str]())
    assert len(unique_enriched(flow)) == outcomes["accepted"] + outcomes["late"]
    dead = {tuple(letter["source"].values()) for letter in flow.decoded("dead-letters")}
    assert len(dead) == outcomes["conflict"] + outcomes["rejected"]
    wanted = truth(flow)
    assert {key: counted(window) for key, window in said(flow).items()} == wanted
    assert not any(owned.merge.merged.unwindowed for owned in flow.merge)
    totals: defaultdict[tuple[str, str], Counts] = defaultdict(Counter)
    for (scope, channel, campaign, level, _), counts in wanted.items():
        if scope == "campaign" and level == "1h":
            totals[channel, campaign or ""] += counts
    exact = {name: sum(c.values()) for owned in flow.merge for name, c in owned.merge.totals.exact.items()}
    assert exact == {name: sum(counts.values()) for name, counts in totals.items()}


@quick
@given(numbers, st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_judgement_does_not_depend_on_the_cutting(made: list[int], cuts: list[int]) -> None:
    """Outcomes, outputs, panes and watermarks are the same however the records come in slices."""
    whole, cut = filled(made), filled(made)
    for flow, sizes in ((whole, [len(made)]), (cut, cuts)):
        turn = 0
        while any(flow.ingest[n].read(topic, sizes[turn % len(sizes)]) for topic, n in SOURCES):
            turn += 1
    assert ledgers(whole) == ledgers(cut)
    for topic in ("clicks.enriched", "orders.enriched", "social.enriched", "dead-letters"):
        assert sorted(whole.rows(topic), key=str) == sorted(cut.rows(topic), key=str)
    for one, other in zip(whole.ingest, cut.ingest, strict=True):
        assert one.ingest.panes.rows == other.ingest.panes.rows
        assert {t: s.watermark for t, s in one.ingest.sources.items()} == {
            t: s.watermark for t, s in other.ingest.sources.items()
        }


@quick
@given(st.lists(st.binary(max_size=60) | st.text(max_size=40).map(str.encode), max_size=40))
def test_any_bytes_have_one_outcome(values: list[bytes]) -> None:
    """No input stops the flow; each record is explained."""
    flow = Flow()
    flow.send("clicks", *values)
    flow.ingest[0].read("clicks", 7)
    flow.drain()
    assert not values or ledgers(flow)["clicks", 0]["rejected"] == len(values)


@quick
@given(numbers, st.integers(1, 40))
def test_windows_hold_what_was_accepted(made: list[int], most: int) -> None:
    """Whatever the size of the slices, each level adds up to accepted and late events, per currency."""
    flow = filled(made)
    flow.drain(most)
    check(flow)


@quick
@given(numbers, st.lists(st.integers(0, 59), min_size=1), st.integers(1, 40))
def test_order_inside_the_lateness_does_not_matter(made: list[int], places: list[int], most: int) -> None:
    """Events shuffled by up to the allowed lateness give the same windows, final at once and never revised."""
    finals = []
    for shuffled in (False, True):
        flow = Flow()
        jitter = [places[n % len(places)] if shuffled else 0 for n in range(len(made))]
        events = []
        for n, number in enumerate(made):
            rest = Digits(number)
            second, user, cost = rest.below(3_600), f"u{rest.below(9)}", rest.below(10**6)
            campaign = f"c{rest.below(3)}"
            event = ad(n, second, user, campaign_id=campaign, cost_micros=cost, currency="EUR")
            events.append((second + jitter[n], n, event))
        flow.send("clicks", *(event for _, _, event in sorted(events)))
        flow.send("clicks", *(ad(f"last{n}", 7_200, f"u{n}", channel="last") for n in range(9)))
        flow.drain(most)
        assert ledgers(flow)["clicks", 0]["late"] == 0
        kept = {key: window for key, window in said(flow).items() if window.end_ms <= BASE + 3_600_000}
        assert {window.state for window in kept.values()} <= {"final"}
        finals.append({key: counted(window) for key, window in kept.items()})
    assert finals[0] == finals[1]


Zombie = tuple[int, Partition, dict[str, int]]
"""Its partition number, what it still believes to own, and how far it had read."""


def happens(flow: Flow, what: int, zombies: list[Zombie]) -> None:
    """Let one thing happen: work, time, a crash with takeover, a zombie's last words, a record delivered again."""
    digits = Digits(what)
    kind, owned = digits.below(9), digits.of((*flow.ingest, *flow.merge))
    topic = "panes" if owned in flow.merge else digits.of(("clicks", "orders", "social"))
    crash = digits.of(tuple(Crash)) if kind in (5, 6) else None
    flow.now += digits.below(4) / 2
    if kind in (0, 1, 5):
        owned.read(topic, 1 + digits.below(12), crash=crash)
    elif kind in (2, 3, 6):
        owned.tick(crash=crash)
    elif kind == 7 and zombies:
        number, zombie, offsets = digits.of(zombies)
        step, start = zombie.tick(flow.now, lambda _: False), offsets.get("clicks", 0)
        if step and not step.changes:
            flow.deliver(step.after)
            if step.done:
                step.done()
        if records := flow.topics["clicks", number][start : start + 5]:
            flow.deliver(zombie.take("clicks", records, start, flow.now).before)  # fenced at the commit that follows
    elif kind == 8:
        log = flow.topics["panes", digits.below(2)]
        if log:
            flow.send("panes", digits.of(log).value, partition=0 if log is flow.topics["panes", 0] else 1)
    if kind in (4, 5, 6):
        offsets, zombie = dict(owned.offsets), owned.take_over(from_disk=bool(digits.below(2)))
        if owned in flow.ingest:
            zombies.append((owned.number, zombie, offsets))


@settings(quick, max_examples=100)
@given(numbers, numbers)
def test_crashes_change_no_total(made: list[int], events: list[int]) -> None:
    """Kill any owner at any boundary, let zombies speak and batches come twice: all totals are those of a calm run."""
    calm, flow = filled(made), filled(made)
    calm.drain()
    zombies: list[Zombie] = []
    for what in events:
        happens(flow, what, zombies)
    flow.drain(13)
    check(flow)
    assert ledgers(flow) == ledgers(calm)
    assert unique_enriched(flow) == unique_enriched(calm)


@quick
@given(numbers)
def test_batches_read_again_from_the_start_add_nothing(made: list[int]) -> None:
    """The whole of `panes` a second time, as after a lost offset, changes neither windows nor totals."""
    flow = filled(made)
    flow.drain(20)
    before = said(flow)
    for number in range(2):
        for raw in list(flow.topics["panes", number]):
            assert isinstance(msgspec.msgpack.decode(raw.value or b"", type=PaneBatch), PaneBatch)
            flow.send("panes", raw.value, partition=number)
    flow.drain(3)
    assert {key: counted(window) for key, window in said(flow).items()} == {k: counted(w) for k, w in before.items()}
    check(flow)
