"""What a broker refuses a step, and will go on refusing, stops it by that name, and not as a broker that is away."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.environment import Environment
from streams.errors import DeniedError, StoppedError, StreamError
from streams.kafka_clients import KafkaClients
from streams.pipeline import Pipeline
from streams.settings import PipelineSettings
from streams.transactions import Transactions
from tests.integration.streams.conftest import Broker, wait_until
from tests.integration.streams.test_killed_workers import made


def ended(worker: Pipeline) -> StreamError:
    """What stops a worker."""
    found: list[StreamError] = []

    def stopped() -> bool:
        try:
            worker.run_once()
        except StreamError as error:
            found.append(error)
        return bool(found)

    worker.start()
    wait_until("it stops", stopped)
    worker.close()
    return found[0]


def test_a_topic_that_is_not_there(broker: Broker) -> None:
    """An operator has to apply again; the record is not lost, as its offset isn't committed."""
    topic = f"{broker.prefix}-item"
    broker.create(topic)
    broker.create(f"state.{broker.name('total')}.sums", compacted=True)
    broker.feed(topic, [("a", 1)])
    assert isinstance(ended(broker.pipeline("total")), DeniedError), "what it sets aside has no place"
    broker.create_aside("total")
    error = ended(broker.pipeline("total"))
    assert isinstance(error, DeniedError)
    assert str(error) in {"_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART"}
    broker.create(f"{broker.prefix}-total")
    again = broker.pipeline("total")
    again.start()
    wait_until("it goes on", lambda: again.run_once() == 1)
    again.close()


def test_a_record_that_a_topic_does_not_take(broker: Broker) -> None:
    """The broker's limit is below the mesh's: said by name."""
    topic, out = made(broker, 1)
    limit = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
    for done in broker.admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, out, incremental_configs=[limit])]
    ).values():
        done.result(30)
    broker.feed(topic, [("x" * 5_000, 1)])
    error = ended(broker.pipeline("total", settings={"compression_type": "none"}))
    assert isinstance(error, StoppedError)
    assert str(error) == "MSG_SIZE_TOO_LARGE"


@pytest.mark.parametrize("password", ["wrong", None], ids=["a wrong password", "a missing right"])
def test_a_user_who_may_not(environment: Environment, password: str | None) -> None:
    """The auditor writes nothing, and nobody comes in with a wrong password."""
    connection = environment.kafka("auditor") | ({"sasl.password": password} if password else {})
    clients = KafkaClients(connection, "household", 9, PipelineSettings())
    began = Transactions(clients, PipelineSettings(), lambda: 0.0)
    name = "_AUTHENTICATION" if password else "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
    with pytest.raises(DeniedError, match=name):
        began.start()
