"""The edge serves what the worker decided, and strangers by chances that the log states."""

from __future__ import annotations

import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from starlette.testclient import TestClient

from agents import LinUCB, Uniform
from streaming import Edge, Guard, GuardError, edge_app
from streaming.events import RankedItem, RankingEvent, encode
from streaming.transport.api import TransportError
from tests.streaming.edge.support import NOW, Shop
from tests.streaming.support import (
    CONFIG,
    ITEMS,
    TOPICS,
    OrderPolicy,
    drain,
    interaction,
    ranking,
    story,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.api import Policy


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.loop.announce()
    shop.catch_up()
    return shop


def test_a_known_user_is_served_what_the_worker_published(shop: Shop) -> None:
    shop.loop.send(user("anna", "e1", NOW, x=1.0))
    shop.catch_up()
    published = shop.loop.recommended()["anna"]
    with shop.open() as http:
        answer = http.get("/recommend/anna")
        first = http.get("/recommend/anna", params={"k": 1})
    assert answer.status_code == 200
    served = answer.json()
    assert served["source"] == "policy"
    assert served["id"] == published.id
    assert served["items"] == msgspec.to_builtins(published.items)
    assert first.json()["items"] == served["items"][:1]


def test_a_strangers_chances_are_logged_and_reach_the_outcome(shop: Shop) -> None:
    """A slate of two out of five at random: 1/5, then 1/4."""
    with shop.open() as http:
        served = http.get("/recommend/stranger").json()
        again = http.get("/recommend/stranger").json()
        assert served == again
        assert served["source"] == "exploration"
        assert [slot["propensity"] for slot in served["items"]] == [0.2, 0.25]
        shown = RankingEvent(
            id=served["id"],
            timestamp=NOW,
            user="stranger",
            items=[RankedItem(slot["id"]) for slot in served["items"]],
        )
        assert http.post("/feedback", content=encode(shown)).json() == {
            "accepted": 1,
            "refused": [],
        }
    shop.loop.tick(NOW + 5000)
    shop.catch_up()
    (logged,) = [made for made in shop.loop.decisions() if made.policy == "uniform"]
    (outcome,) = shop.loop.outcomes()
    assert logged.id == served["id"]
    assert outcome.propensities == [0.2, 0.25]
    assert outcome.policy == "uniform"
    assert outcome.candidates == shop.edge.view.slates.fingerprint


def test_the_slates_of_strangers_are_chosen_evenly(shop: Shop) -> None:
    slates = shop.edge.view.slates
    firsts = [
        made.items[0].id
        for n in range(2000)
        if (made := shop.edge.cold.decide(f"s{n}", slates, NOW)) is not None
    ]
    counts = np.array([firsts.count(item) for item in ITEMS])
    assert np.all(np.abs(counts - 400) < 4 * np.sqrt(2000 * 0.2 * 0.8))


def test_another_edge_completes_what_this_one_served(shop: Shop) -> None:
    with shop.open() as http:
        served = http.get("/recommend/stranger").json()
    other = Edge(shop.bus, CONFIG, clock=lambda: NOW)
    shown = ranking("stranger", served["id"], NOW, *[slot["id"] for slot in served["items"]])
    completed = other.cold.completed(shown, other.view)
    assert [item.propensity for item in completed.items] == [0.2, 0.25]
    elsewhere = ranking("nobody", served["id"], NOW, *[slot["id"] for slot in served["items"]])
    assert other.cold.completed(elsewhere, other.view) == elsewhere
    swapped = ranking("stranger", served["id"], NOW, served["items"][1]["id"])
    assert other.cold.completed(swapped, other.view) == swapped


def test_a_catalogue_that_changed_since_is_remembered(shop: Shop) -> None:
    with shop.open() as http:
        served = http.get("/recommend/stranger").json()
        shop.loop.announce(*ITEMS, "f")
        shop.catch_up()
        fresh = http.get("/recommend/stranger").json()
    assert fresh["id"] != served["id"]
    shown = ranking("stranger", served["id"], NOW, *[slot["id"] for slot in served["items"]])
    completed = shop.edge.cold.completed(shown, shop.edge.view)
    assert [item.propensity for item in completed.items] == [0.2, 0.25]


def test_an_expired_slate_is_not_served(shop: Shop) -> None:
    shop.loop.send(user("anna", "e1", NOW))
    shop.catch_up()
    shop.now = NOW + CONFIG.ttl
    with shop.open() as http:
        assert http.get("/recommend/anna").json()["source"] == "exploration"


def test_items_that_are_gone_are_not_served(shop: Shop) -> None:
    shop.loop.send(user("anna", "e1", NOW))
    shop.catch_up()
    first, second = [slot.id for slot in shop.loop.recommended()["anna"].items]
    with shop.open() as http:
        shop.loop.producer.send(TOPICS.items, None, key=second.encode())
        shop.catch_up()
        served = http.get("/recommend/anna").json()
        assert [slot["id"] for slot in served["items"]] == [first]
        assert served["source"] == "policy"
        shop.loop.producer.send(TOPICS.items, None, key=first.encode())
        shop.catch_up()
        served = http.get("/recommend/anna").json()
        assert served["source"] == "exploration"
        assert first not in [slot["id"] for slot in served["items"]]


def test_nothing_to_show_is_said() -> None:
    with Shop().open() as http:
        answer = http.get("/recommend/anna")
    assert answer.status_code == 503
    assert "no items" in answer.json()["error"]
    assert answer.headers["retry-after"] == "1"


def test_all_four_events_are_taken_in(shop: Shop) -> None:
    events: list[Any] = [
        user("anna", "e1", NOW, x=2.0),
        ranking("anna", "r1", NOW + 1, "a", "b"),
        interaction("anna", "e2", NOW + 2, "r1", "b"),
        msgspec.json.decode(b'{"event":"item","id":"i","timestamp":"1","item":"new","fields":[]}'),
    ]
    with shop.open() as http:
        answer = http.post("/feedback", content=msgspec.json.encode(events))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 4, "refused": []})
    shop.loop.tick(NOW + 9000)
    shop.catch_up()
    (outcome,) = shop.loop.outcomes()
    assert (outcome.items, outcome.rewards) == (["a", "b"], [0.0, 1.0])
    assert len(shop.edge.view.slates) == len(ITEMS) + 1


def test_a_bad_event_costs_only_itself(shop: Shop) -> None:
    good = msgspec.to_builtins(user("anna", "e1", NOW))
    with shop.open() as http:
        answer = http.post("/feedback", json=[{"event": "nonsense"}, good, 7])
        assert answer.status_code == 202
        assert answer.json()["accepted"] == 1
        assert [refusal["index"] for refusal in answer.json()["refused"]] == [0, 2]
        alone = http.post("/feedback", json={"event": "nonsense"})
        assert alone.status_code == 422
        assert "nonsense" in alone.json()["refused"][0]["reason"]
        for body in (b"[", b"[]"):
            assert http.post("/feedback", content=body).status_code == 400
        for body in (b"\xff", b""):
            assert http.post("/feedback", content=body).status_code == 422
        many = http.post("/feedback", json=[good] * 1001)
        assert "1 to 1000" in many.json()["error"]
    shop.catch_up()
    assert shop.worker.report().users == 1


def test_what_is_too_large_is_refused(shop: Shop) -> None:
    with shop.open() as http:
        answer = http.post("/feedback", content=b" " * ((1 << 20) + 1))
    assert answer.status_code == 413
    assert "send the events in parts" in answer.json()["error"]


def test_feedback_that_kafka_does_not_take_is_not_accepted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_reach() -> None:
        raise TransportError("the broker is gone")

    monkeypatch.setattr(shop.edge.inbox._producer, "flush", out_of_reach)
    with shop.open() as http:
        answer = http.post("/feedback", content=encode(user("anna", "e1", NOW)))
        assert answer.status_code == 503
        assert answer.json() == {"error": "the broker is gone"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/recommend/" + "x" * 257, "1 to 256 characters"),
        ("/recommend/", "1 to 256 characters"),
        ("/recommend/anna?k=0", "from 1 to 1000"),
        ("/recommend/anna?k=1001", "from 1 to 1000"),
        ("/recommend/anna?k=two", "one number"),
        ("/recommend/anna?k=1&k=2", "one number"),
    ],
)
def test_questions_that_make_no_sense_are_refused(shop: Shop, path: str, said: str) -> None:
    with shop.open() as http:
        answer = http.get(path)
    assert answer.status_code == 422
    assert said in answer.json()["error"]


def test_names_may_hold_anything(shop: Shop) -> None:
    name = "a/b c?&é%\n"
    shop.loop.send(user(name, "e1", NOW))
    shop.catch_up()
    with shop.open() as http:
        served = http.get("/recommend/a%2Fb%20c%3F%26%C3%A9%25%0A").json()
    assert (served["user"], served["source"]) == (name, "policy")


def test_unknown_paths_and_methods_are_answered_in_json(shop: Shop) -> None:
    with shop.open() as http:
        assert http.get("/nowhere").json() == {"error": "Not Found"}
        wrong = http.get("/feedback")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    assert wrong.json() == {"error": "Method Not Allowed"}


def linear() -> LinUCB:
    return LinUCB(interactions=False)


def test_an_explanation_says_what_the_model_says() -> None:
    shop = Shop(linear, explains=True)
    shop.loop.announce()
    shop.loop.send(user("anna", "e1", NOW, x=2.0, y=-1.0))
    shop.catch_up()
    with shop.open() as http:
        told = http.get("/explain/anna").json()
    published = shop.loop.recommended()["anna"]
    assert (told["id"], told["source"]) == (published.id, "policy")
    assert (told["measure"], told["learned"]) == ("expected reward", 0)
    for item, slot in zip(told["items"], published.items, strict=True):
        assert (item["id"], item["propensity"]) == (slot.id, slot.propensity)
        assert item["score"] == 0.0  # nothing was learned
        row = ITEMS.index(slot.id)
        x = np.array([1.0, 2.0, -1.0, 0.5 * row, 1.0 - 0.25 * row])
        assert item["uncertainty"] == pytest.approx(np.linalg.norm(x), rel=1e-6)


def test_what_another_policy_decided_is_not_explained_by_this_one() -> None:
    """The canary's slates, say, or all after a promotion."""
    shop = Shop(linear)
    shop.edge = Edge(shop.bus, CONFIG, make_policy=Uniform, clock=lambda: shop.now)
    shop.loop.announce()
    shop.loop.send(user("anna", "e1", NOW))
    shop.catch_up()
    with shop.open() as http:
        refused = http.get("/explain/anna")
    assert refused.status_code == 503
    assert "explain 'uniform'" in refused.json()["error"]


def test_effects_are_those_of_what_the_loop_has_learned() -> None:
    """Of one lesson, in which x was good and y was 0; the ridge solution is computed in one go."""
    shop = Shop(linear, explains=True)
    shop.loop.announce()
    shop.loop.send(user("bert", "e1", NOW, x=1.0), ranking("bert", "r", NOW + 1, "a", "b"))
    shop.loop.send(*[interaction("bert", f"c{i}", NOW + 2, "r", i) for i in "ab"])
    shop.loop.tick(NOW + 5000)
    shop.loop.send(user("anna", "e2", NOW + 5000, x=2.0, y=5.0))
    shop.catch_up()
    x = np.array([[1.0, 1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.5, 0.75]])
    theta = np.linalg.solve(x.T @ x + np.eye(5), x.T @ np.ones(2))
    with shop.open() as http:
        told = http.get("/explain/anna").json()
    assert told["learned"] == 1
    for item in told["items"]:
        effects = {effect["feature"]: effect for effect in item["effects"]}
        assert set(effects) <= {"x", "item f[0]", "item f[1]"}
        assert effects["x"]["value"] == 2.0
        assert effects["x"]["effect"] == pytest.approx(2.0 * theta[1], rel=1e-6)


@pytest.mark.parametrize("make_policy", [linear, OrderPolicy])
def test_the_edge_knows_what_the_worker_has_learned(make_policy: Callable[[], Policy]) -> None:
    """Of a policy whose state adds up, and of one that hangs on the order to the last bit."""
    shop = Shop(make_policy, explains=True)
    shop.loop.announce()
    shop.loop.send(*story(3, 30, seed=1))
    shop.loop.tick(60_000)
    shop.catch_up()
    late = Edge(shop.bus, CONFIG, make_policy=make_policy)  # begins with the worker's snapshots
    learned = shop.worker.learner.policy.state_dict()
    assert int(learned["version"]) > CONFIG.snapshot_every
    for edge in (shop.edge, late):
        assert edge.model is not None
        for name, array in edge.model.policy.state_dict().items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(array, learned[name], rtol=1e-9, atol=1e-12)
            else:
                np.testing.assert_array_equal(array, learned[name])


def test_a_strangers_slate_is_explained_by_chance(shop: Shop) -> None:
    with shop.open() as http:
        told = http.get("/explain/stranger").json()
        shop.loop.send(user("anna", "e1", NOW))
        shop.catch_up()
        refused = http.get("/explain/anna")
    assert (told["source"], told["measure"]) == ("exploration", "probability")
    assert all(item["score"] == pytest.approx(0.2) for item in told["items"])
    assert refused.status_code == 503
    assert "without the policy" in refused.json()["error"]


def test_only_those_with_a_key_may_ask() -> None:
    key = "a-key-of-24-characters-.."
    shop = Shop(guard=Guard([key, "another-key-of-ours-0001"]))
    shop.loop.announce()
    shop.catch_up()
    with shop.open() as http:
        assert http.get("/recommend/anna").status_code == 401
        assert http.get("/recommend/anna", headers={"X-API-Key": key + "x"}).status_code == 401
        assert http.get("/recommend/anna", headers={"X-API-Key": key}).status_code == 200
        bearer = {"Authorization": f"Bearer {key}"}
        assert http.get("/recommend/anna", headers=bearer).status_code == 200
        assert http.get("/metrics").status_code == 401
        assert http.get("/healthz").status_code == 200
        assert key not in http.get("/metrics", headers=bearer).text


def test_short_keys_and_limits_of_nothing_are_refused() -> None:
    with pytest.raises(GuardError, match="at least 16"):
        Guard(["short"])
    with pytest.raises(GuardError, match="rate must be above 0"):
        Guard(rate=0.0)


def test_who_asks_too_often_waits_as_long_as_it_takes() -> None:
    clock = [0.0]
    shop = Shop(guard=Guard(rate=2.0, burst=3, clock=lambda: clock[0]))
    shop.loop.announce()
    shop.catch_up()
    with shop.open() as http:
        statuses = [http.get("/recommend/anna").status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert http.get("/recommend/anna").headers["retry-after"] == "1"
        assert http.get("/healthz").status_code == 200
        clock[0] = 0.5
        assert http.get("/recommend/anna").status_code == 200
        assert http.get("/recommend/anna").status_code == 429
        clock[0] = 1000.0
        statuses = [http.get("/recommend/anna").status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]


def test_figures_are_told(shop: Shop) -> None:
    with shop.open() as http:
        http.get("/recommend/x")
        http.post("/feedback", json=[{}, msgspec.to_builtins(user("anna", "e1", NOW))])
        http.get("/nowhere/at/all")
        lines = http.get("/metrics").text.splitlines()
    assert 'recloop_edge_served_total{source="exploration"} 1.0' in lines
    assert 'recloop_edge_requests_total{route="recommend",status="200"} 1.0' in lines
    assert 'recloop_edge_requests_total{route="none",status="404"} 1.0' in lines
    assert 'recloop_edge_events_total{result="accepted"} 1.0' in lines
    assert 'recloop_edge_events_total{result="refused"} 1.0' in lines
    assert "recloop_edge_items 5.0" in lines


def test_a_fault_is_told_and_slates_are_served_meanwhile(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.loop.send(user("anna", "e1", NOW))
    shop.catch_up()
    stop, met = Event(), Event()

    def out_of_reach(_: float) -> int:
        met.set()
        raise TransportError("the broker is gone")

    monkeypatch.setattr(shop.edge.view, "look", out_of_reach)
    follower = Thread(target=shop.edge.follow, args=(stop,))
    follower.start()
    try:
        assert met.wait(10.0)
        with shop.open() as http:
            deadline = time.monotonic() + 10.0
            while (health := http.get("/healthz")).status_code != 503:
                assert time.monotonic() < deadline
            assert health.json()["reason"] == "the broker is gone"
            assert http.get("/recommend/anna").status_code == 200
            monkeypatch.undo()
            deadline = time.monotonic() + 10.0
            while http.get("/healthz").status_code != 200:
                assert time.monotonic() < deadline
    finally:
        stop.set()
        follower.join()


def test_the_running_service_follows_the_topics(shop: Shop) -> None:
    with TestClient(edge_app(shop.edge, Guard())) as http:
        shop.loop.send(user("anna", "e1", NOW))
        drain(shop.worker)
        deadline = time.monotonic() + 10.0
        while http.get("/recommend/anna").json()["source"] != "policy":
            assert time.monotonic() < deadline


def test_exploration_is_the_uniform_policy_with_the_loops_seed(shop: Shop) -> None:
    assert isinstance(shop.edge.cold.policy, Uniform)
    made = shop.edge.cold.decide("anna", shop.edge.view.slates, NOW)
    assert made is not None
    assert made.seed == CONFIG.seed
