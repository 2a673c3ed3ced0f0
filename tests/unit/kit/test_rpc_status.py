import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError, Metadata

from services.kit.errors import NotFound, Status
from services.kit.rpc.status import metadata_of, reason_in, reason_of, status_of, to_status


class OrderNotFound(NotFound):
    reason = "ORDER_NOT_FOUND"


def callee_error(code: grpc.StatusCode, status: status_pb2.Status | None = None) -> AioRpcError:
    trailing = Metadata(*metadata_of(status)) if status else Metadata()
    return AioRpcError(code, Metadata(), trailing, "details", "")


def info_of(detail: AnyMessage) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert detail.Unpack(info)
    return info


def test_a_domain_error_carries_its_reason_and_metadata():
    status = to_status(OrderNotFound("no such order", order_id="o1"))
    info = info_of(status.details[0])

    assert (status.code, status.message) == (5, "no such order")
    assert (info.reason, info.domain, dict(info.metadata)) == ("ORDER_NOT_FOUND", "bazaar.dev", {"order_id": "o1"})


def test_details_that_a_servicer_adds_go_along():
    error = OrderNotFound("no such order")
    error.details = [error_details_pb2.ResourceInfo(resource_name="o1")]

    assert [detail.TypeName() for detail in to_status(error).details] == ["google.rpc.ErrorInfo", "google.rpc.ResourceInfo"]


def test_a_callees_error_with_a_reason_passes_through_unchanged():
    sent = status_of(Status.FAILED_PRECONDITION, "1 left", "OUT_OF_STOCK", sku="tv")

    assert to_status(callee_error(grpc.StatusCode.FAILED_PRECONDITION, sent)) == sent


def test_a_callees_own_fault_is_not_passed_on():
    sent = status_of(Status.INTERNAL, "secret", "INTERNAL", incident="i1")
    status = to_status(callee_error(grpc.StatusCode.INTERNAL, sent))

    assert (status.code, reason_in(status), "secret" in status.message) == (13, "INTERNAL", False)


def test_a_callee_that_cannot_be_reached_keeps_its_code():
    status = to_status(callee_error(grpc.StatusCode.UNAVAILABLE))

    assert (status.code, reason_in(status)) == (14, "UNAVAILABLE")


def test_a_callees_error_without_a_reason_is_our_fault():
    assert to_status(callee_error(grpc.StatusCode.NOT_FOUND)).code == 13


def test_an_unexpected_error_gets_an_incident():
    info = info_of(to_status(KeyError("x")).details[0])

    assert (info.reason, list(info.metadata)) == ("INTERNAL", ["incident"])


def test_an_error_without_details_has_no_reason():
    assert reason_of(callee_error(grpc.StatusCode.UNAVAILABLE)) is None
