"""A log in, a report out; and the published figure on the real log."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents.api import RecloopError, Requests, ShapeError
from agents.simple import Uniform
from evaluation.chunks.checks import FaultyLogError
from evaluation.passes import SlateError
from evaluation.report import Report
from evaluation.rounds import evaluate
from evaluation.targets import Distribution
from simulators import bts_action_distribution, bts_prior, load_obd
from tests.evaluation.logs import Shop, Tabled, cut

if TYPE_CHECKING:
    from agents.api import Floats, Outcomes, Rows

SHOP = Shop(base=0.2)
LOG = SHOP.outcomes(4000, seed=1)


def test_a_policy_is_evaluated_and_its_truth_is_covered() -> None:
    found = evaluate(Tabled(SHOP.target), cut(LOG, 700), replicates=400)
    assert [estimate.estimator for estimate in found.estimates] == ["IPS", "SNIPS", "DM", "DR"]
    for name in ("IPS", "SNIPS", "DR"):
        assert found[name].low < SHOP.truth < found[name].high
        assert found[name].verdict.trust == "trust"
    assert found["DM"].verdict.trust == "trust with care"
    assert found.trust == "trust"
    with pytest.raises(KeyError):
        found["MAGIC"]


def test_chunks_do_not_matter() -> None:
    whole, parts = (
        evaluate(Tabled(SHOP.target), chunks, replicates=40) for chunks in ([LOG], cut(LOG, 333))
    )
    for one, other in zip(whole.estimates, parts.estimates, strict=True):
        np.testing.assert_allclose(one.replicates, other.replicates, rtol=1e-12)
        assert one.diagnostics.unsupported == other.diagnostics.unsupported


def test_a_table_is_evaluated_as_the_policy_that_follows_it() -> None:
    column = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    by_table = evaluate(Distribution(column[:, None]), [LOG], replicates=40)
    by_policy = evaluate(Tabled(np.tile(column, (4, 1))), [LOG], replicates=40)
    for one, other in zip(by_table.estimates, by_policy.estimates, strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-12)


def test_a_table_that_is_no_distribution_or_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="sum to 1"):
        Distribution(np.full((6, 1), 0.5))
    with pytest.raises(ShapeError, match="items, positions"):
        Distribution(np.full(6, 1 / 6))
    with pytest.raises(ShapeError, match="7 items"):
        evaluate(Distribution(np.full((7, 1), 1 / 7)), [LOG])


def test_what_the_log_never_shows_is_not_trusted() -> None:
    kept = LOG.take(LOG.decisions.slates[:, 0] != 2)
    only = np.array([[0.2, 0.0, 0.8, 0.0, 0.0, 0.0]]).T
    found = evaluate(Distribution(only), [kept], estimators=["IPS"], replicates=40)
    assert found["IPS"].diagnostics.unsupported == pytest.approx(0.8, abs=0.002)
    assert found.trust == "do not trust"
    assert any("79.9% of what the target" in words for words in found["IPS"].verdict.reasons)


def test_a_log_of_many_items_seen_once_is_no_lack_of_support() -> None:
    """On-policy, a uniform log of 2,000 rounds over 2,000 items leaves a third of them unseen."""
    shop = Shop(segments=1, items=2000, base=0.2)
    shop.__dict__["logging"] = np.full((1, 2000), 1 / 2000)
    found = evaluate(Uniform(), [shop.outcomes(2000, 1)], estimators=["IPS"], replicates=40)
    assert found["IPS"].diagnostics.unsupported == pytest.approx(0.0, abs=0.05)
    assert found.trust == "trust"


def test_a_changing_catalogue_leaves_support_unmeasured() -> None:
    first, second = cut(LOG, 2000)
    other = replace(second.requests.items, keys=second.requests.items.keys + np.uint64(1))
    changed = replace(second, requests=replace(second.requests, items=other))
    found = evaluate(Uniform(), [first, changed], estimators=["IPS"], replicates=40)
    assert found["IPS"].diagnostics.unsupported is None


def test_a_model_of_ones_own_is_taken_as_it_is_and_chunks_may_flow_by() -> None:
    class Truth:
        def expected(self, requests: Requests, rows: Rows) -> Floats:
            segments = requests.context.argmax(axis=1)
            return np.asarray(SHOP.clicks[segments[:, None], rows])

    found = evaluate(Tabled(SHOP.target), iter(cut(LOG, 500)), reward_model=Truth())
    assert found["DM"].value == pytest.approx(SHOP.truth, rel=0.02)
    assert found["DR"].high - found["DR"].low < found["IPS"].high - found["IPS"].low


def test_two_passes_need_chunks_that_can_be_read_twice() -> None:
    with pytest.raises(RecloopError, match="only once"):
        evaluate(Uniform(), iter([LOG]))
    evaluate(Uniform(), iter([LOG]), estimators=["IPS"], replicates=4)


def test_progress_is_told_by_rounds() -> None:
    told: list[tuple[str, int]] = []
    evaluate(Uniform(), cut(LOG, 1500), replicates=4, progress=lambda *what: told.append(what))
    assert told == [
        *(("read rewards", n) for n in (1500, 1500, 1000)),
        *(("evaluate uniform", n) for n in (1500, 1500, 1000)),
    ]


def test_faulty_rows_are_named() -> None:
    propensities = LOG.decisions.propensities.copy()
    propensities[2345] = 7.0
    bad = replace(LOG, decisions=replace(LOG.decisions, propensities=propensities))
    for estimator in ("IPS", "DR"):
        with pytest.raises(FaultyLogError, match="above 1 in row 2345"):
            evaluate(Uniform(), cut(bad, 1000), estimators=[estimator])


def test_longer_slates_are_refused() -> None:
    two = [np.repeat(a, 2, axis=1) for a in (LOG.requests.positions, LOG.decisions.slates)]
    requests = replace(LOG.requests, positions=two[0])
    decisions = replace(
        LOG.decisions, slates=two[1], propensities=np.repeat(LOG.decisions.propensities, 2, axis=1)
    )
    outcomes = replace(
        LOG,
        requests=requests,
        decisions=decisions,
        rewards=np.repeat(LOG.rewards, 2, axis=1),
        seen=np.repeat(LOG.seen, 2, axis=1),
    )
    with pytest.raises(SlateError, match="2"):
        evaluate(Uniform(), [outcomes], estimators=["IPS"])


def test_estimators_that_differ_beyond_noise_are_named() -> None:
    class Optimist:
        def expected(self, requests: Requests, rows: Rows) -> Floats:
            return np.full(rows.shape, 0.9)

    found = evaluate(Tabled(SHOP.target), [LOG], reward_model=Optimist(), replicates=400)
    pairs = {(pair.first, pair.second) for pair in found.disagreements}
    assert pairs == {("IPS", "DM"), ("SNIPS", "DM"), ("DM", "DR")}
    assert "DM and DR differ" in found.agreement


def test_a_report_is_json() -> None:
    found = evaluate(Uniform(), [LOG], replicates=40)
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert read["policy"] == "uniform"
    assert read["estimates"][0]["value"] == found["IPS"].value
    assert read["estimates"][0]["diagnostics"]["rounds"] == 4000


def on_uniform(log: Outcomes) -> Report:
    return evaluate(Uniform(), cut(log, 4000), replicates=200)


def test_published_value_on_the_open_bandit_dataset() -> None:
    """Saito et al. 2021: the sample's IPS estimate of `bts` from `random`, campaign `all`."""
    log = load_obd("random", "all")
    bts = Distribution(bts_action_distribution(*bts_prior("all")), "bts")
    found = evaluate(bts, cut(log, 3000), estimators=["IPS", "SNIPS"], replicates=40)
    logged = float(log.rewards.astype(np.float64).mean())
    assert found["IPS"].value == pytest.approx(0.00455288, rel=1e-9)
    assert found["IPS"].value / logged == pytest.approx(1.1981263157894735, rel=1e-9)


def test_a_log_with_one_huge_weight_is_not_trusted() -> None:
    found = on_uniform(load_obd("bts", "women"))
    assert {estimate.verdict.trust for estimate in found.estimates} == {"do not trust"}
    assert found["IPS"].diagnostics.effective_size == pytest.approx(2.1, abs=0.05)
    assert "one round carries 69.4% of all the weight" in found["IPS"].verdict.reasons


def test_the_logging_policy_itself_is_trusted() -> None:
    found = on_uniform(load_obd("random", "all"))
    assert found["IPS"].verdict.trust == found["DR"].verdict.trust == "trust"
    assert found["IPS"].value == pytest.approx(0.0038, rel=1e-6)


def test_bounds_cut_intervals_and_change_nothing_that_is_within_them() -> None:
    few = SHOP.outcomes(60, seed=3)
    table = Tabled(np.where(SHOP.target == SHOP.target.max(axis=1, keepdims=True), 0.95, 0.01))
    names = ["IPS", "SNIPS", "DR"]
    free, cut_ = (
        evaluate(table, [few], estimators=names, replicates=400, bounds=bounds)
        for bounds in (None, (0.0, 1.0))
    )
    assert max(e.high for e in free.estimates) > 1.0 or min(e.low for e in free.estimates) < 0.0
    for loose, tight in zip(free.estimates[:2], cut_.estimates[:2], strict=True):
        assert tight.value == loose.value
        assert tight.low == min(max(loose.low, 0.0), 1.0)
        assert tight.high == min(loose.high, 1.0)


def test_an_impossible_estimate_is_told_and_not_trusted() -> None:
    """One round with weight 6 earns 1: IPS is 6, more than any round can earn."""
    one = LOG.take(np.flatnonzero(LOG.rewards[:, 0] == 1.0)[:1])
    sure = Distribution(np.eye(6)[int(one.decisions.slates[0, 0])][:, None])
    (found,) = evaluate(sure, [one], estimators=["IPS"], bounds=(0.0, 1.0), replicates=40).estimates
    assert found.value == pytest.approx(1.0 / one.decisions.propensities[0, 0])
    assert found.high == 1.0
    assert found.verdict.trust == "do not trust"
    assert "outside of what can be earned" in found.verdict.reasons[0]


def test_bounds_keep_predictions_and_refuse_other_rewards() -> None:
    class Wild:
        def expected(self, requests: Requests, rows: Rows) -> Floats:
            return np.where(rows % 2 == 0, -3.0, 5.0)

    class Kept(Wild):
        def expected(self, requests: Requests, rows: Rows) -> Floats:
            return np.where(rows % 2 == 0, 0.0, 1.0)

    wild, kept = (
        evaluate(Tabled(SHOP.target), [LOG], reward_model=model, bounds=(0.0, 1.0), replicates=40)
        for model in (Wild(), Kept())
    )
    assert wild["DM"].value == kept["DM"].value
    assert wild["DR"].value == kept["DR"].value
    first = int(np.flatnonzero(LOG.rewards[:, 0] == 1.0)[0])
    with pytest.raises(FaultyLogError, match=rf"not between 0 and 0.5.* in rows {first},"):
        evaluate(Uniform(), [LOG], estimators=["IPS"], bounds=(0.0, 0.5))
    with pytest.raises(RecloopError, match="smaller and a larger"):
        evaluate(Uniform(), [LOG], estimators=["IPS"], bounds=(1.0, 0.0))


def test_what_the_log_never_shows_to_some_users_is_not_trusted() -> None:
    """Items are shown to somebody all of them, but half of them never to segments 0 and 1."""
    segment, shown = LOG.requests.context.argmax(axis=1), LOG.decisions.slates[:, 0]
    kept = LOG.take((segment >= 2) | (shown < 3))
    low = kept.requests.context.argmax(axis=1) < 2
    chance = kept.decisions.propensities.copy()
    chance[low, 0] /= SHOP.logging[:, :3].sum(axis=1)[kept.requests.context.argmax(axis=1)[low]]
    honest = replace(kept, decisions=replace(kept.decisions, propensities=chance))
    found = evaluate(Uniform(), [honest], estimators=["IPS"], replicates=40)["IPS"]
    assert found.diagnostics.unsupported == 0.0
    assert found.diagnostics.unsupported_in_context == pytest.approx(0.5 * low.mean(), abs=0.005)
    assert any("to users alike" in words for words in found.verdict.reasons)


def test_chance_is_no_lack_of_overlap() -> None:
    """Four users, 300 items, 3,000 rounds: most pairs are never seen, and nothing is missing."""
    shop = Shop(items=300, base=0.2)
    sharp = np.full((4, 300), 0.1 / 299)
    sharp[np.arange(4), np.arange(4)] = 0.9
    missed = []
    for seed in range(8):
        log = [shop.outcomes(3000, seed)]
        for target in (Tabled(sharp), Tabled(shop.target), Uniform()):
            found = evaluate(target, log, estimators=["IPS"], replicates=5)["IPS"].diagnostics
            missed += [found.unsupported, found.unsupported_in_context]
    assert max(share for share in missed if share is not None) < 0.05
    assert None not in missed


def test_rewards_that_all_came_where_the_target_hardly_goes_are_not_trusted() -> None:
    """The target shows one of 80 items nine times in ten, and in the log that item earned nothing.

    All clicks have the same small weight: among themselves they look like good evidence, and the
    interval of IPS is short and ten times too low.
    """
    shop = Shop(segments=1, items=80, base=0.004)
    shop.__dict__["clicks"] = np.full((1, 80), 0.004)
    shop.__dict__["logging"] = np.full((1, 80), 1 / 80)
    log = shop.outcomes(10_000, seed=2)
    clicks = np.bincount(log.decisions.slates[:, 0], weights=log.rewards[:, 0], minlength=80)
    column = np.full((80, 1), 0.1 / 79)
    column[int(clicks.argmin())] = 0.9
    (found,) = evaluate(Distribution(column), [log], estimators=["IPS"], replicates=200).estimates
    assert found.high < 0.5 * 0.004
    assert found.diagnostics.effective_rewarded < 1.0
    assert found.verdict.trust == "do not trust"
    assert any("few rewards" in words for words in found.verdict.reasons)
