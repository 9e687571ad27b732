"""What is spoken with an OMS, name by name and number by number: other programs speak it already."""

import re

from google.protobuf.descriptor import FieldDescriptor

from services.oms.protocol import OrderRequest, OrderResponse, OrderStatus
from tests.support import REPOSITORY

KINDS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_INT64: "int64",
}
REQUEST = """
    string id = 1; string symbol = 2; Side side = 3; OrderType type = 4; double price = 5; int64 quantity = 6;
    string strategy_id = 7; int64 timestamp = 8;
"""
RESPONSE = """
    string order_id = 1; string request_id = 2; OrderStatus status = 3; double filled_price = 4;
    int64 filled_quantity = 5; string message = 6; int64 timestamp = 7;
"""


def described(message: type[OrderRequest | OrderResponse]) -> list[str]:
    """The fields of a message as a proto file writes them."""
    return [
        f"{field.enum_type.name if field.enum_type else KINDS[field.type]} {field.name} = {field.number}"
        for field in message.DESCRIPTOR.fields
    ]


def written(fields: str) -> list[str]:
    return [" ".join(field.split()) for field in fields.split(";") if field.strip()]


def test_orders_and_answers_have_the_fields_of_the_contract() -> None:
    assert described(OrderRequest) == written(REQUEST)
    assert described(OrderResponse) == written(RESPONSE)


def test_enumerations_have_the_numbers_of_the_contract() -> None:
    names = ["PENDING", "ACCEPTED", "REJECTED", "PARTIALLY_FILLED", "FILLED", "CANCELLED"]
    assert OrderStatus.items() == [(name, number) for number, name in enumerate(names)]
    enumerations = OrderRequest.DESCRIPTOR.file.enum_types_by_name
    assert {name: [value.name for value in enumerations[name].values] for name in ("Side", "OrderType")} == {
        "Side": ["BUY", "SELL"],
        "OrderType": ["LIMIT", "MARKET"],
    }


def test_the_service_is_one_stream_in_both_directions() -> None:
    service = OrderRequest.DESCRIPTOR.file.services_by_name["OrderService"]
    [method] = service.methods
    assert (service.full_name, method.name) == ("order.OrderService", "StreamOrders")
    assert (method.client_streaming, method.server_streaming) == (True, True)
    assert (method.input_type.name, method.output_type.name) == ("OrderRequest", "OrderResponse")


def test_the_generated_code_is_that_of_the_proto_file() -> None:
    text = re.sub(r"//.*", "", (REPOSITORY / "proto" / "order.proto").read_text(encoding="utf-8"))
    for message in (OrderRequest, OrderResponse):
        [fields] = re.findall(rf"message {message.DESCRIPTOR.name} {{(.*?)}}", text, flags=re.DOTALL)
        assert written(fields) == described(message), "run `make proto`"
