"""An error that a retry can't resolve stops the worker and is named, unlike that of an unavailable broker."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.environment import Environment
from streams.errors import DeniedError, StoppedError, StreamError
from streams.kafka_clients import KafkaClients
from streams.pipeline import Pipeline
from streams.settings import PipelineSettings
from streams.transactions import Transactions
from tests.integration.cluster import wait_until
from tests.integration.streams.broker import Broker, process


def stop_error(worker: Pipeline) -> StreamError:
    """Run a worker until an error stops it; return the error."""
    errors: list[StreamError] = []

    def stopped() -> bool:
        try:
            worker.run_once()
        except StreamError as error:
            errors.append(error)
        return bool(errors)

    worker.start()
    wait_until("the worker stops", stopped)
    worker.close()
    return errors[0]


def test_a_missing_topic_stops_the_worker(broker: Broker) -> None:
    """An operator must run `mesh apply` again; no record is lost, because its offset isn't committed."""
    topic = f"{broker.prefix}-item"
    broker.create(topic)
    broker.create(broker.changelog, compacted=True)
    broker.write_items(topic, [("a", 1)])
    assert isinstance(stop_error(broker.pipeline("total")), DeniedError), "the dead-letter queue has no topic"
    broker.create_dlq_topics("total")
    error = stop_error(broker.pipeline("total"))
    assert isinstance(error, DeniedError)
    assert str(error) in {"_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART"}
    broker.create(f"{broker.prefix}-total")
    restarted = broker.pipeline("total")
    restarted.start()
    process(restarted)
    restarted.close()


def test_a_record_over_the_size_limit_of_the_topic_stops_the_worker(broker: Broker) -> None:
    """The error is named if the broker's limit is below the mesh's."""
    topic, output = broker.create_total_topics(1)
    limit = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
    for future in broker.admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, output, incremental_configs=[limit])]
    ).values():
        future.result(30)
    broker.write_items(topic, [("x" * 5_000, 1)])
    error = stop_error(broker.pipeline("total", settings={"compression_type": "none"}))
    assert isinstance(error, StoppedError)
    assert str(error) == "MSG_SIZE_TOO_LARGE"


@pytest.mark.parametrize("password", ["wrong", None], ids=["a wrong password", "a missing ACL"])
def test_a_user_without_access_can_not_start_a_transaction(
    environment: Environment, password: str | None
) -> None:
    """The auditor may not write, and a wrong password is rejected."""
    connection = environment.kafka("auditor") | ({"sasl.password": password} if password else {})
    clients = KafkaClients(connection, "household", 9, PipelineSettings())
    transactions = Transactions(clients, PipelineSettings(), lambda: 0.0)
    name = "_AUTHENTICATION" if password else "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
    with pytest.raises(DeniedError, match=name):
        transactions.start()
