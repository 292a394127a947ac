"""Faults of AWS on tap, for tests: what a file says goes wrong, until it says otherwise.

The file that TRIPHAMMER_FAULTS names holds a JSON object; without the variable nothing here is loaded.

    {"id": "any", "throttle": true}              every request for items is throttled
    {"id": "any", "refuse_starts": 3}            the next three StartExecution fail
    {"id": "any", "fail": {"settle": 3}}         the next three invocations of that function end without a word
    {"id": "any", "stream": ["double", "reverse", "late"]}   batches come twice, backwards, two seconds late
    {"id": "any", "lose": ["dispatcher"]}        that reader of the stream never sees a batch
    {"id": "any", "store": ["500", "503", "slow", "close"], "store_times": 8}
                                                 so many of the requests that servers send to the store go wrong, in turns

Counts begin anew with a new id.
"""
import asyncio
import json
import os
import time

from ministack.services import dynamodb, lambda_svc, s3, stepfunctions

ITEMS = ("get_item", "query", "batch_get_item", "put_item", "update_item", "delete_item", "transact_write_items", "transact_get_items")
LATE_SECONDS = 2
SLOW_SECONDS = 5

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


def the_store_stumbles():
    handle = s3.handle_request

    async def stumbling(method, path, headers, body, query_params, *arguments, **named):
        faults = said()
        how = faults.get("store", [])
        if how and "X-Amz-Signature" in query_params and uses(faults, "store", faults.get("store_times", 0)):
            fault = how[(_used[(faults.get("id"), "store")] - 1) % len(how)]
            if fault in ("500", "503"):
                return int(fault), {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            if fault == "slow":
                await asyncio.sleep(SLOW_SECONDS)
            if fault == "close":
                status, answer, content = await handle(method, path, headers, body, query_params, *arguments, **named)
                # Half of what was announced: the connection ends in the middle.
                return status, {**answer, "Content-Length": str(len(content) + 1000)}, content[: len(content) // 2]
        return await handle(method, path, headers, body, query_params, *arguments, **named)

    s3.handle_request = stumbling


FAULTS = [throttle_items, refuse_starts, functions_end_without_a_word, the_store_stumbles]
