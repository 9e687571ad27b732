from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Side(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUY: _ClassVar[Side]
    SELL: _ClassVar[Side]

class OrderType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIMIT: _ClassVar[OrderType]
    MARKET: _ClassVar[OrderType]

class OrderStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PENDING: _ClassVar[OrderStatus]
    ACCEPTED: _ClassVar[OrderStatus]
    REJECTED: _ClassVar[OrderStatus]
    PARTIALLY_FILLED: _ClassVar[OrderStatus]
    FILLED: _ClassVar[OrderStatus]
    CANCELLED: _ClassVar[OrderStatus]
BUY: Side
SELL: Side
LIMIT: OrderType
MARKET: OrderType
PENDING: OrderStatus
ACCEPTED: OrderStatus
REJECTED: OrderStatus
PARTIALLY_FILLED: OrderStatus
FILLED: OrderStatus
CANCELLED: OrderStatus

class OrderRequest(_message.Message):
    __slots__ = ("id", "symbol", "side", "type", "price", "quantity", "strategy_id", "timestamp")
    ID_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    id: str
    symbol: str
    side: Side
    type: OrderType
    price: float
    quantity: int
    strategy_id: str
    timestamp: int
    def __init__(self, id: _Optional[str] = ..., symbol: _Optional[str] = ..., side: _Optional[_Union[Side, str]] = ..., type: _Optional[_Union[OrderType, str]] = ..., price: _Optional[float] = ..., quantity: _Optional[int] = ..., strategy_id: _Optional[str] = ..., timestamp: _Optional[int] = ...) -> None: ...

class OrderResponse(_message.Message):
    __slots__ = ("order_id", "request_id", "status", "filled_price", "filled_quantity", "message", "timestamp")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FILLED_PRICE_FIELD_NUMBER: _ClassVar[int]
    FILLED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    request_id: str
    status: OrderStatus
    filled_price: float
    filled_quantity: int
    message: str
    timestamp: int
    def __init__(self, order_id: _Optional[str] = ..., request_id: _Optional[str] = ..., status: _Optional[_Union[OrderStatus, str]] = ..., filled_price: _Optional[float] = ..., filled_quantity: _Optional[int] = ..., message: _Optional[str] = ..., timestamp: _Optional[int] = ...) -> None: ...
