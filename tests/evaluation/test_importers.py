"""Other tools' logs say the same once they are read; what can't be read is named by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.api import PAD, Outcomes
from agents.simple import Uniform
from evaluation import LogFormatError, evaluate, from_coba, from_obp, read_dsjson
from evaluation.importers.records import hashed
from evaluation.targets import Distribution
from tests.evaluation.logs import Shop

SHOP = Shop(base=0.2)
LOG = SHOP.outcomes(2000, seed=1)


def feedback() -> dict[str, Any]:
    return {
        "n_rounds": len(LOG),
        "n_actions": SHOP.items,
        "context": LOG.requests.context.astype(np.float64),
        "action_context": LOG.requests.items.features,
        "action": LOG.decisions.slates[:, 0],
        "position": None,
        "reward": LOG.rewards[:, 0].astype(np.int64),
        "pscore": LOG.decisions.propensities[:, 0],
    }


def test_obps_feedback_is_evaluated_as_the_log_it_is() -> None:
    column = Distribution(np.array([[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]]).T)
    imported = from_obp(feedback(), chunk=300)
    assert [len(part) for part in imported] == [300] * 6 + [200]
    theirs = evaluate(column, imported, replicates=5)
    ours = evaluate(column, [LOG], replicates=5)
    for name in ("IPS", "SNIPS"):
        assert theirs[name].value == pytest.approx(ours[name].value, rel=1e-12)
    assert theirs["DR"].value == pytest.approx(ours["DR"].value, abs=0.01)  # folds hang on keys
    assert theirs["IPS"].diagnostics.unsupported == ours["IPS"].diagnostics.unsupported


def test_obps_keys_do_not_hang_on_chunks_and_bare_feedback_is_enough() -> None:
    bare = {k: v for k, v in feedback().items() if k not in ("context", "action_context")}
    one, many = (
        evaluate(Uniform(), from_obp(bare, chunk=size), estimators=["IPS"], replicates=5)["IPS"]
        for size in (2000, 7)
    )
    np.testing.assert_allclose(one.replicates, many.replicates, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"action": np.array([0, 1, 6])}, "action is not between 0 and 5 in row 2"),
        ({"action": np.array([0, -1, 0.5])}, "no whole number in row 2"),
        ({"reward": np.zeros(3)}, r"reward must be numbers \[2000\], not float64 \(3,\)"),
        ({"position": np.full(2000, -1)}, "position is negative in rows 0, 1, 2"),
        ({"action_context": np.eye(5)}, r"action_context must be numbers \[6, any\]"),
        ({"n_actions": 0}, "n_actions must be a count"),
    ],
)
def test_feedback_that_does_not_fit_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(LogFormatError, match=words):
        from_obp(feedback() | change)


def test_a_missing_array_is_named_with_what_was_meant() -> None:
    given = feedback()
    given["p_score"] = given.pop("pscore")
    with pytest.raises(LogFormatError, match=r"has no 'pscore' \(it has 'p_score'\)"):
        from_obp(given)


LINE: dict[str, Any] = {
    "_label_cost": -2.0,
    "_label_probability": 0.8,
    "_label_Action": 2,
    "_labelIndex": 1,
    "Timestamp": "2021-07-29T10:00:00.9990000Z",
    "Version": "1",
    "EventId": "one",
    "a": [2, 1],
    "p": [0.8, 0.2],
    "c": {
        "User": {"name": "Tom", "age": 30},
        "_multi": [{"A": {"article": "sports"}}, {"A": {"article": "politics"}}],
    },
}


def written(path: Path, *lines: dict[str, Any] | str) -> Path:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def whole(imported: Any) -> Outcomes:
    (found,) = imported
    assert isinstance(found, Outcomes)
    return found


def test_a_line_of_dsjson_is_a_decision(tmp_path: Path) -> None:
    other = json.loads(json.dumps(LINE)) | {"EventId": "two", "_label_Action": 1, "_label_cost": 0}
    other["c"]["_multi"] += [{"A": {"article": "music"}, "_tag": "m"}]
    log = read_dsjson(written(tmp_path / "log.json", LINE, "", other), width=16)
    found = whole(log)
    assert len(list(log)) == 1  # it can be read again
    names = found.requests.items.names
    assert names is not None
    assert [names[i] for i in found.decisions.slates[:, 0]] == [
        '{"A": {"article": "politics"}}',
        '{"A": {"article": "sports"}}',
    ]
    assert names[found.requests.candidates[1, 2]] == '{"A": {"article": "music"}, "_tag": "m"}'
    assert found.requests.candidates[0, 2] == PAD
    np.testing.assert_array_equal(found.rewards[:, 0], [2.0, 0.0])
    np.testing.assert_array_equal(found.decisions.propensities[:, 0], [0.8, 0.8])
    assert found.time[0] == 1627552800999
    assert found.requests.context.shape == (2, 16)
    assert set(np.unique(np.abs(found.requests.context[0]))) == {0.0, 1.0, 30.0}
    uniform = evaluate(Uniform(), log, estimators=["IPS"], replicates=5)["IPS"]
    assert uniform.value == pytest.approx((0.5 / 0.8 * 2.0 + 0.0) / 2)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is no JSON"),
        ("[]", "line 2 is no JSON object"),
        (LINE | {"_label_Action": 3}, "line 2: _label_Action is 3, but there are actions 1 to 2"),
        (LINE | {"_label_probability": 0}, r"line 2: _label_probability is 0.0"),
        (LINE | {"_label_cost": float("nan")}, "line 2: _label_cost is nan"),
        (LINE | {"_label_cost": "1"}, "line 2: _label_cost must be a number, not '1'"),
        (LINE | {"pdrop": 0.5}, "line 2: events were dropped"),
        (LINE | {"Timestamp": "today"}, "line 2: 'today' is no timestamp"),
        (LINE | {"c": {"_multi": [{}], "_slots": []}}, "line 2: only contextual bandits"),
        (LINE | {"c": {"_multi": [{}, {}]}}, "line 2: two actions are the same"),
        ({"RewardValue": 1.0, "EventId": "one"}, "line 2 has no 'c'"),
        ({k: v for k, v in LINE.items() if k != "_label_cost"}, "line 2 has no '_label_cost'"),
    ],
)
def test_a_line_that_can_not_be_read_is_named(
    tmp_path: Path, line: dict[str, Any] | str, words: str
) -> None:
    log = read_dsjson(written(tmp_path / "log.json", LINE, line))
    with pytest.raises(LogFormatError, match=words):
        list(log)


def interaction(**change: Any) -> dict[str, Any]:
    given = {"context": (0.5, 1.0), "actions": ["a", "b", "c"], "action": "b"}
    return given | {"reward": 1.0, "probability": 0.25} | change


def test_cobas_interactions_are_a_log() -> None:
    log = from_coba([interaction(), interaction(action="c", reward=0, probability=0.5)])
    found = whole(log)
    np.testing.assert_allclose(found.requests.context, [[0.5, 1.0], [0.5, 1.0]])
    names = found.requests.items.names
    assert names is not None
    assert [names[i] for i in found.decisions.slates[:, 0]] == ['"b"', '"c"']
    uniform = evaluate(Uniform(), log, estimators=["IPS"], replicates=5)["IPS"]
    assert uniform.value == pytest.approx((1 / 3) / 0.25 / 2)


def test_cobas_contexts_and_actions_may_be_of_any_kind() -> None:
    for context in (None, "Tom", 3, {"age": 3, "name": "Tom"}, ("a", 1)):
        found = whole(from_coba([interaction(context=context)], width=8))
        assert found.requests.context.shape == (1, 8)
    vectors = [(1, 0), (0, 1)]
    found = whole(from_coba([interaction(actions=vectors, action=(0, 1))]))
    np.testing.assert_array_equal(found.requests.items.features, [[1, 0], [0, 1]])
    assert found.decisions.slates[0, 0] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"action": "d"}, 'interaction 1: action "d" is none of those on offer'),
        ({"actions": []}, "interaction 1: without the actions on offer"),
        ({"actions": ["b", "b"]}, "interaction 1 offers an action twice"),
        ({"probability": 1.5}, "interaction 1: probability is 1.5"),
        ({"probability": None}, "interaction 1: probability must be a number, not None"),
        ({"reward": float("inf")}, "interaction 1: reward is inf"),
        ({"context": (1.0, 2.0, 3.0)}, "interaction 1: the first context was a list of 2 numbers"),
        ({"context": (1.0, float("nan"))}, "interaction 1: a feature is nan"),
    ],
)
def test_an_interaction_that_can_not_be_read_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(LogFormatError, match=words):
        list(from_coba([interaction(), interaction(**change)]))


def test_hashing_keeps_different_things_apart_and_like_things_alike() -> None:
    first = hashed({"b": [1, 2.5], "a": {"x": "y"}, "c": True, "d": None}, 1 << 16, "here")
    again = hashed({"a": {"x": "y"}, "d": None, "c": True, "b": (1, 2.5)}, 1 << 16, "there")
    np.testing.assert_array_equal(first, again)
    assert sorted(np.abs(first[first != 0.0])) == [1.0, 1.0, 1.0, 2.5]
    assert not np.array_equal(
        first, hashed({"a": {"x": "z"}, "b": [1, 2.5], "c": True}, 1 << 16, "")
    )
