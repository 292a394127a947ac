"""Faults of AWS on tap, for tests: what a file says goes wrong, until it says otherwise.

The file that TRIPHAMMER_FAULTS names holds a JSON object; without the variable nothing here is loaded.

    {"id": "any", "throttle": true}              every request for items is throttled
    {"id": "any", "refuse_starts": 3}            the next three StartExecution fail
    {"id": "any", "fail": {"settle": 3}}         the next three invocations of that function end without a word
    {"id": "any", "stream": ["double", "reverse", "late"]}   batches come twice, backwards, two seconds late
    {"id": "any", "lose": ["dispatcher"]}        that reader of the stream never sees a batch

Counts begin anew with a new id.
"""
import json
import os
import time

from ministack.services import dynamodb, lambda_svc, stepfunctions

ITEMS = ("get_item", "query", "batch_get_item", "put_item", "update_item", "delete_item", "transact_write_items", "transact_get_items")
LATE_SECONDS = 2

_used = {}


def said():
    try:
        with open(os.environ["TRIPHAMMER_FAULTS"]) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def uses(faults, what, times):
    """True for as many calls as the file says."""
    key = (faults.get("id"), what)
    _used[key] = _used.get(key, 0) + 1
    return _used[key] <= times


def throttle_items():
    def throttled(original):
        def act(data):
            if said().get("throttle"):
                return dynamodb.error_response_json("ProvisionedThroughputExceededException", "The level of configured provisioned throughput for the table was exceeded.", 400)
            return original(data)

        return act

    for name in ITEMS:
        setattr(dynamodb, f"_{name}", throttled(getattr(dynamodb, f"_{name}")))


def refuse_starts():
    start = stepfunctions._start_execution

    def refused(data):
        faults = said()
        if uses(faults, "start", faults.get("refuse_starts", 0)):
            return stepfunctions.error_response_json("ServiceUnavailable", "Service is unavailable.", 503)
        return start(data)

    stepfunctions._start_execution = refused


def functions_end_without_a_word():
    execute = lambda_svc._execute_function

    def failing(function, event):
        faults = said()
        name = (function.get("config") or function).get("FunctionName", "")
        for ending, times in faults.get("fail", {}).items():
            if name.endswith("-" + ending) and uses(faults, ending, times):
                return {"error": True, "function_error": "Unhandled", "body": {"errorType": "Runtime.ExitError", "errorMessage": "RequestId: fault Error: Runtime exited with error: signal: killed"}}
        return execute(function, event)

    lambda_svc._execute_function = failing


def stream_batches(deliver):
    """Around the launcher's own delivery of a batch."""

    def faulty(mapping, function, batch, arn):
        faults = said()
        name = (function.get("config") or function).get("FunctionName", "")
        if any(name.endswith("-" + reader) for reader in faults.get("lose", [])):
            return
        how = faults.get("stream", [])
        if "late" in how:
            time.sleep(LATE_SECONDS)
        if "reverse" in how:
            batch = batch[::-1]
        deliver(mapping, function, batch, arn)
        if "double" in how:
            deliver(mapping, function, batch, arn)

    return faulty


FAULTS = [throttle_items, refuse_starts, functions_end_without_a_word]
