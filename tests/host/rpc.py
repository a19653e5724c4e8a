"""How do a Functions host and its worker speak? The messages of FunctionRpc, made from a table.

Microsoft's Python runtime brings no message classes: whoever starts it hands them over. Here are those that an app with
Service Bus triggers needs, and those the runtime builds itself. The field numbers are the interface; fields that a peer
sends beyond them are kept unread. There is no generated code, so any protobuf runtime from version 4 on will do.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

PACKAGE: Final = "AzureFunctionsRpcMessages"

#: The one method: a stream of StreamingMessage in both directions.
EVENT_STREAM: Final = f"/{PACKAGE}.FunctionRpc/EventStream"


class _Table(NamedTuple):
    """One message: its fields as `name: (number, type)`, and the fields of which only one is set at a time.

    A type is a scalar, an enum or another message of this table; `*type` is repeated and `map:type` a map from strings.
    """

    fields: dict[str, tuple[int, str]]
    one_of: str = ""
    alternatives: frozenset[str] = frozenset()


def _plain(**fields: tuple[int, str]) -> _Table:
    return _Table(fields)


def _one_of(name: str, always: dict[str, tuple[int, str]], **alternatives: tuple[int, str]) -> _Table:
    return _Table({**always, **alternatives}, name, frozenset(alternatives))


_MESSAGES: Final[dict[str, _Table]] = {
    "StreamingMessage": _one_of(
        "content",
        {"request_id": (1, "string")},
        rpc_log=(2, "RpcLog"),
        invocation_request=(4, "InvocationRequest"),
        invocation_response=(5, "InvocationResponse"),
        function_load_request=(8, "FunctionLoadRequest"),
        function_load_response=(9, "FunctionLoadResponse"),
        worker_init_response=(16, "WorkerInitResponse"),
        worker_init_request=(17, "WorkerInitRequest"),
        start_stream=(20, "StartStream"),
        functions_metadata_request=(29, "FunctionsMetadataRequest"),
        function_metadata_response=(30, "FunctionMetadataResponse"),
    ),
    "StartStream": _plain(worker_id=(2, "string")),
    "WorkerInitRequest": _plain(
        host_version=(1, "string"),
        capabilities=(2, "map:string"),
        worker_directory=(4, "string"),
        function_app_directory=(5, "string"),
    ),
    "WorkerInitResponse": _plain(
        capabilities=(2, "map:string"), result=(3, "StatusResult"), worker_metadata=(4, "WorkerMetadata")
    ),
    "WorkerMetadata": _plain(
        runtime_name=(1, "string"),
        runtime_version=(2, "string"),
        worker_version=(3, "string"),
        worker_bitness=(4, "string"),
        custom_properties=(5, "map:string"),
    ),
    "StatusResult": _plain(
        result=(1, "string"), exception=(2, "RpcException"), logs=(3, "*RpcLog"), status=(4, "StatusResult.Status")
    ),
    "FunctionsMetadataRequest": _plain(function_app_directory=(1, "string")),
    "FunctionMetadataResponse": _plain(
        function_metadata_results=(1, "*RpcFunctionMetadata"),
        result=(2, "StatusResult"),
        use_default_metadata_indexing=(3, "bool"),
    ),
    "RpcFunctionMetadata": _plain(
        directory=(1, "string"),
        script_file=(2, "string"),
        entry_point=(3, "string"),
        name=(4, "string"),
        bindings=(6, "map:BindingInfo"),
        is_proxy=(7, "bool"),
        status=(8, "StatusResult"),
        language=(9, "string"),
        raw_bindings=(10, "*string"),
        function_id=(13, "string"),
        managed_dependency_enabled=(14, "bool"),
        retry_options=(15, "RpcRetryOptions"),
        properties=(16, "map:string"),
    ),
    "RpcRetryOptions": _plain(
        max_retry_count=(2, "int32"),
        delay_interval=(3, "Duration"),
        minimum_interval=(4, "Duration"),
        maximum_interval=(5, "Duration"),
        retry_strategy=(6, "RpcRetryOptions.RetryStrategy"),
    ),
    "BindingInfo": _plain(
        type=(2, "string"),
        direction=(3, "BindingInfo.Direction"),
        data_type=(4, "BindingInfo.DataType"),
        properties=(5, "map:string"),
    ),
    "FunctionLoadRequest": _plain(
        function_id=(1, "string"), metadata=(2, "RpcFunctionMetadata"), managed_dependency_enabled=(3, "bool")
    ),
    "FunctionLoadResponse": _plain(
        function_id=(1, "string"), result=(2, "StatusResult"), is_dependency_downloaded=(3, "bool")
    ),
    "InvocationRequest": _plain(
        invocation_id=(1, "string"),
        function_id=(2, "string"),
        input_data=(3, "*ParameterBinding"),
        trigger_metadata=(4, "map:TypedData"),
        trace_context=(5, "RpcTraceContext"),
        retry_context=(6, "RetryContext"),
    ),
    "InvocationResponse": _plain(
        invocation_id=(1, "string"),
        output_data=(2, "*ParameterBinding"),
        result=(3, "StatusResult"),
        return_value=(4, "TypedData"),
    ),
    "RpcTraceContext": _plain(trace_parent=(1, "string"), trace_state=(2, "string"), attributes=(3, "map:string")),
    "RetryContext": _plain(retry_count=(1, "int32"), max_retry_count=(2, "int32"), exception=(3, "RpcException")),
    "ParameterBinding": _one_of("rpc_data", {"name": (1, "string")}, data=(2, "TypedData")),
    "TypedData": _one_of("data", {}, string=(1, "string"), json=(2, "string"), bytes=(3, "bytes")),
    "RpcLog": _plain(
        invocation_id=(1, "string"),
        category=(2, "string"),
        level=(3, "RpcLog.Level"),
        message=(4, "string"),
        event_id=(5, "string"),
        exception=(6, "RpcException"),
        properties=(7, "string"),
        log_category=(8, "RpcLog.RpcLogCategory"),
    ),
    "RpcException": _plain(
        stack_trace=(1, "string"),
        message=(2, "string"),
        source=(3, "string"),
        is_user_exception=(4, "bool"),
        type=(5, "string"),
    ),
}

_ENUMS: Final[dict[str, list[str]]] = {
    "StatusResult.Status": ["Failure", "Success", "Cancelled"],
    "BindingInfo.Direction": ["in", "out", "inout"],
    "BindingInfo.DataType": ["undefined", "string", "binary", "stream"],
    "RpcRetryOptions.RetryStrategy": ["exponential_backoff", "fixed_delay"],
    "RpcLog.Level": ["Trace", "Debug", "Information", "Warning", "Error", "Critical", "None"],
    "RpcLog.RpcLogCategory": ["User", "System", "CustomMetric"],
}

_SCALARS: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "sint64": FieldDescriptorProto.TYPE_SINT64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
}


def _file() -> FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="function_rpc.proto", package=PACKAGE, syntax="proto3", dependency=["google/protobuf/duration.proto"]
    )
    for name, table in _MESSAGES.items():
        _describe(file.message_type.add(name=name), table)
    return file


def _describe(message: DescriptorProto, table: _Table) -> None:
    if table.one_of:
        message.oneof_decl.add(name=table.one_of)
    for name, (number, kind) in table.fields.items():
        field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        if name in table.alternatives:
            field.oneof_index = 0
        if kind.startswith(("*", "map:")):
            field.label = FieldDescriptorProto.LABEL_REPEATED
        if kind.startswith("map:"):
            kind = _describe_entry(message, name, kind.removeprefix("map:"))
        _set_type(field, kind.removeprefix("*"))
    for enum_name, values in _ENUMS.items():
        owner, _, short = enum_name.partition(".")
        if owner == message.name:
            enum = message.enum_type.add(name=short)
            for number, value in enumerate(values):
                enum.value.add(name=value, number=number)


def _describe_entry(message: DescriptorProto, field: str, kind: str) -> str:
    """Add the message that protobuf keeps a map's entries in; returns its name."""
    name = field.title().replace("_", "") + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    for number, (part, part_kind) in enumerate([("key", "string"), ("value", kind)], start=1):
        _set_type(
            entry.field.add(name=part, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL),
            part_kind,
        )
    return f"{message.name}.{name}"


def _set_type(field: FieldDescriptorProto, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = FieldDescriptorProto.TYPE_ENUM if kind in _ENUMS else FieldDescriptorProto.TYPE_MESSAGE
    field.type_name = ".google.protobuf.Duration" if kind == "Duration" else f".{PACKAGE}.{kind}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(duration_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES
    }


#: The message classes by name, in the shape of the module that a protobuf compiler would make.
protos: Final[Any] = SimpleNamespace(**_classes())
