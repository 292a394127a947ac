"""Start MiniStack with the corrections that Triphammer needs.

Each correction restores a rule of AWS that the pinned release bends, names the rule, and has a test in tests/ that
fails without it. All of them replace functions in memory, so the release is pinned exactly; each goes when upstream
has it. TRIPHAMMER_STOCK=1 starts MiniStack as it is, for those tests.
"""
import contextvars
import json
import os
import socket
import socketserver
import threading
import time

from hypercorn.config import Config
from ministack import app
from ministack.core import lambda_runtime
from ministack.services import dynamodb, lambda_svc, stepfunctions
from ministack.services.cloudformation import provisioners

if os.environ.get("TRIPHAMMER_FAULTS"):
    import faults


def quick_lambda_calls():
    """No rule, but time: a warm call takes milliseconds on AWS. Nagle's delay and a wait for a first log line made it 95."""
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True
    lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (0.002, 0.002, 0.250)


def missing_paths_fail():
    """A path in Parameters that the input does not have fails the execution (States.Runtime); it does not become null."""
    resolve = stepfunctions._resolve_params_obj

    def found(path, data):
        tokens = stepfunctions._parse_jsonpath_tokens(path)
        if tokens is None:
            return False
        for kind, value in tokens:
            if kind == "field" and isinstance(data, dict) and value in data:
                data = data[value]
            elif kind == "index" and isinstance(data, list) and -len(data) <= value < len(data):
                data = data[value]
            else:
                return kind == "wildcard"
        return True

    def strict(template, data, context=None):
        for key, path in template.items() if isinstance(template, dict) else ():
            if not (key.endswith(".$") and isinstance(path, str) and path.startswith("$") and path != "$") or path == "$$" or path.startswith("$$.Task"):
                continue
            source, rest = ((context or {}), path[1:]) if path.startswith("$$.") else (data, path)
            if not found(rest, source):
                raise stepfunctions._ExecutionError("States.Runtime", f"The JSONPath '{path}' specified for the field '{key}' could not be found in the input")
        return resolve(template, data, context)

    stepfunctions._resolve_params_obj = strict


def retries_have_a_longest_delay():
    """MaxDelaySeconds bounds the delay between retries."""
    matching = stepfunctions._find_matching_retrier

    def bounded(retriers, error, counts):
        retrier, index = matching(retriers, error, counts)
        if retrier is not None and "MaxDelaySeconds" in retrier:
            grown = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** counts.get(index, 0)
            retrier = {**retrier, "IntervalSeconds": min(grown, retrier["MaxDelaySeconds"]), "BackoffRate": 1}
        return retrier, index

    stepfunctions._find_matching_retrier = bounded


def executions_have_a_limit():
    """TimeoutSeconds of a whole machine ends its execution as TIMED_OUT."""
    run = stepfunctions._run_execution

    def limited(arn):
        execution = stepfunctions._executions.get(arn)
        machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) if execution else None
        limit = json.loads(machine["definition"]).get("TimeoutSeconds") if machine else None
        if limit:

            def expire():
                if execution["status"] == "RUNNING":
                    execution["status"], execution["stopDate"], execution["error"] = "TIMED_OUT", stepfunctions.now_iso(), "States.Timeout"
                    stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {"error": "States.Timeout"}})
                    stepfunctions._emit_execution_status_event(execution)

            timer = threading.Timer(limit, contextvars.copy_context().run, (expire,))
            timer.daemon = True
            timer.start()
        return run(arn)

    stepfunctions._run_execution = limited


def ended_executions_stay_ended():
    """An execution that was stopped or timed out enters no further state, and its status does not change again."""
    terminal = {"ExecutionAborted", "ExecutionFailed", "ExecutionSucceeded", "ExecutionTimedOut", "ExecutionStarted"}
    add, fail, task = stepfunctions._add_event, stepfunctions._fail_execution, stepfunctions._execute_task

    def add_event(execution, kind, details=None):
        return add(execution, kind, details) if execution["status"] == "RUNNING" or kind in terminal else {}

    def fail_execution(execution, error, cause):
        if execution["status"] == "RUNNING":
            fail(execution, error, cause)

    def execute_task(state, raw, execution, context):
        if execution["status"] != "RUNNING":
            raise stepfunctions._ExecutionError("States.Runtime", "execution stopped")
        return task(state, raw, execution, context)

    stepfunctions._add_event, stepfunctions._fail_execution, stepfunctions._execute_task = add_event, fail_execution, execute_task


def starting_twice_is_once():
    """StartExecution with the name and input of a running execution answers with that execution."""
    start = stepfunctions._start_execution

    def idempotent(data):
        machine = stepfunctions._resolve_state_machine_arn(data.get("stateMachineArn")) if data.get("name") else None
        execution = stepfunctions._executions.get(machine.replace(":stateMachine:", ":execution:") + ":" + data["name"]) if machine else None
        if execution and execution["status"] == "RUNNING" and json.loads(execution["input"] or "{}") == json.loads(data.get("input") or "{}"):
            return stepfunctions.json_response({"executionArn": execution["executionArn"], "startDate": execution["startDate"]})
        return start(data)

    stepfunctions._start_execution = idempotent


def failed_functions_are_500():
    """A Lambda that fails behind an HTTP API is a 500 without the error's text; an oversized answer is a failure."""
    limit = 6291556
    execute, to_proxy = lambda_svc._execute_function, lambda_svc.lambda_execute_result_to_api_proxy_response

    def bounded(function, event):
        result = execute(function, event)
        if not result.get("error") and result.get("body") is not None and len(json.dumps(result["body"])) > limit:
            return {"error": True, "body": {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes)."}}
        return result

    def proxy(result):
        if result.get("error") and not result.get("throttle"):
            return {"statusCode": 500, "headers": {"Content-Type": "application/json"}, "body": '{"message":"Internal Server Error"}'}, None
        return to_proxy(result)

    lambda_svc._execute_function, lambda_svc.lambda_execute_result_to_api_proxy_response = bounded, proxy


def streams_retry_and_move_on():
    """A stream mapping has a reader of its own, retries what its function reports as failed, splits a failing batch, gives
    up after MaximumRetryAttempts, and tells the OnFailure destination. Stock loses reported records and blocks for ever."""

    def number(record):
        return record["dynamodb"]["SequenceNumber"]

    def deliver(mapping, function, batch, arn):
        todo, attempt = lambda_svc._apply_filter_criteria(batch, mapping), 0
        while todo:
            result = lambda_svc._execute_function(function, {"Records": todo})
            if not result.get("error"):
                body = result.get("body") if isinstance(result.get("body"), dict) else {}
                reported = {failure.get("itemIdentifier") for failure in body.get("batchItemFailures") or []}
                failed = [at for at, record in enumerate(todo) if number(record) in reported]
                if not failed or "ReportBatchItemFailures" not in (mapping.get("FunctionResponseTypes") or []):
                    return
                todo = todo[failed[0]:]
            if mapping.get("BisectBatchOnFunctionError") in (True, "true") and len(todo) > 1:
                half = len(todo) // 2
                deliver(mapping, function, todo[:half], arn)
                todo, attempt = todo[half:], 0
                continue
            most = int(-1 if mapping.get("MaximumRetryAttempts") is None else mapping["MaximumRetryAttempts"])
            if 0 <= most <= attempt:
                lambda_svc._send_ddb_stream_failure_record(mapping, function, todo, arn, result, "RetryAttemptsExhausted")
                return
            attempt += 1
            time.sleep(min(0.2 * 2 ** min(attempt, 6), 10))
            if mapping["UUID"] not in lambda_svc._esms or not mapping.get("Enabled", True):
                return

    if os.environ.get("TRIPHAMMER_FAULTS"):
        deliver = faults.stream_batches(deliver)

    def poll():
        busy = False
        for account, region, mapping in lambda_svc._iter_all_esms():
            account_before, region_before = lambda_svc._request_account_id.set(account), lambda_svc._request_region.set(region)
            try:
                arn, uuid = mapping.get("EventSourceArn", ""), mapping["UUID"]
                if ":dynamodb:" not in arn or not mapping.get("Enabled", True) or lambda_svc._esm_inflight.get(uuid):
                    continue
                name = arn.split("/stream/")[0].split("/")[-1]
                table = dynamodb._tables.get(name)
                function, _ = lambda_svc._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
                if function is None or not table or table.get("LatestStreamArn") != arn:
                    continue
                lambda_svc._init_stream_position(uuid, arn, mapping.get("StartingPosition", "LATEST"))
                position = max(lambda_svc._dynamodb_stream_positions[uuid], dynamodb.stream_start_position(name))
                batch = dynamodb.stream_records_since(name, position, int(mapping.get("BatchSize", 100)))
                if not batch:
                    continue

                def work(mapping=mapping, function=function, batch=batch, arn=arn, uuid=uuid, position=position):
                    deliver(mapping, function, batch, arn)
                    lambda_svc._dynamodb_stream_positions[uuid] = position + len(batch)

                lambda_svc._dispatch_esm_batch(uuid, contextvars.copy_context().run, work)
                busy = True
            finally:
                lambda_svc._request_account_id.reset(account_before)
                lambda_svc._request_region.reset(region_before)
        return busy

    lambda_svc._poll_dynamodb_streams = poll


def streams_outlive_a_restart():
    """A stream keeps what its readers have not read yet when the stack is stopped, and they go on where they were. Stock
    keeps the readers' positions but not the records, so that a reader waits until as many new ones have come."""
    state, load = dynamodb.get_state, dynamodb.load_persisted_state

    def unread(account, region, table):
        """The table's records from the first one that a mapping has not read, and how many came before it."""
        mappings = [mapping["UUID"] for at, mapping in lambda_svc._esms.all_items() if at[:2] == (account, region) and f":table/{table}/stream/" in mapping.get("EventSourceArn", "")]
        positions = [lambda_svc._dynamodb_stream_positions.get_scoped(account, region, uuid) for uuid in mappings]
        begin, end = dynamodb.stream_start_position(table, account_id=account, region=region), dynamodb.stream_end_position(table, account_id=account, region=region)
        read = min((position for position in positions if position is not None), default=end)
        read = min(max(read, begin), end)
        return [read, dynamodb.stream_live_records(table, account_id=account, region=region)[read - begin:]]

    def get_state():
        return state() | {"streams": [[*at, *unread(*at)] for at, _ in dynamodb._stream_records.all_items()]}

    def load_persisted_state(data):
        load(data)
        for account, region, table, read, records in data.get("streams", []):
            dynamodb._stream_trimmed.set_scoped(account, region, table, read)
            dynamodb._stream_records.set_scoped(account, region, table, records)

    dynamodb.get_state, dynamodb.load_persisted_state = get_state, load_persisted_state


def templates_set_time_to_live():
    """TimeToLiveSpecification of a table in a template takes effect."""
    handlers = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    for operation, properties_at in (("create", 1), ("update", 2)):
        original = handlers.get(operation)
        if original is None:
            continue

        def provision(*arguments, original=original, properties_at=properties_at, **named):
            result = original(*arguments, **named)
            asked = arguments[properties_at].get("TimeToLiveSpecification")
            if asked:
                enabled = str(asked.get("Enabled")).lower() == "true"
                dynamodb._update_ttl({"TableName": result[0], "TimeToLiveSpecification": {"AttributeName": asked.get("AttributeName"), "Enabled": enabled}})
            return result

        handlers[operation] = provision


def tasks_wait_for_their_token():
    """Waiting for a token: a function that fails fails its task, silence for HeartbeatSeconds does too, a stopped execution
    waits no longer, and each try has a token of its own."""
    execute, invoke = stepfunctions._execute_task, stepfunctions._invoke_with_callback
    here = threading.local()

    def remembered(state, raw_input, execution, context):
        before, here.at = getattr(here, "at", None), (execution, context)
        try:
            return execute(state, raw_input, execution, context)
        finally:
            here.at = before

    def waiting(resource, parameters, token, state):
        if ":lambda:invoke" not in resource:
            return invoke(resource, parameters, token, state)
        execution, context = here.at
        said = threading.Event()
        info = {"event": said, "result": None, "error": None, "heartbeat": None}
        stepfunctions._task_tokens[token] = info
        try:
            stepfunctions._invoke_resource(resource.replace(".waitForTaskToken", ""), parameters)
            began = heard = time.monotonic()
            while not said.wait(0.1):
                now = time.monotonic()
                if info["heartbeat"]:
                    heard, info["heartbeat"] = now, None
                if execution and execution["status"] != "RUNNING":
                    raise stepfunctions._ExecutionError("States.Runtime", "The execution was stopped.")
                if now - began > state.get("TimeoutSeconds", 99999999):
                    raise stepfunctions._ExecutionError("States.Timeout", "")
                if now - heard > state.get("HeartbeatSeconds", 99999999):
                    raise stepfunctions._ExecutionError("States.HeartbeatTimeout", "")
            if info["error"]:
                raise stepfunctions._ExecutionError(info["error"]["Error"], info["error"]["Cause"])
            return json.loads(info["result"])
        except stepfunctions._ExecutionError:
            context["Task"] = {"Token": stepfunctions.new_uuid()}
            raise
        finally:
            stepfunctions._task_tokens.pop(token, None)

    stepfunctions._execute_task, stepfunctions._invoke_with_callback = remembered, waiting


def listen_for_servers(address):
    """A second address beside the first: the lab's own, which need not be there yet. Nothing else can reach it."""
    create = Config.create_sockets

    def also(config):
        sockets = create(config)
        port = sockets.insecure_sockets[0].getsockname()[1]
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND, which this Python has no name for.
        listener.bind((address, port))
        listener.setblocking(False)
        sockets.insecure_sockets.append(listener)
        return sockets

    Config.create_sockets = also


CORRECTIONS = [
    quick_lambda_calls,
    missing_paths_fail,
    retries_have_a_longest_delay,
    executions_have_a_limit,
    ended_executions_stay_ended,
    starting_twice_is_once,
    failed_functions_are_500,
    streams_retry_and_move_on,
    streams_outlive_a_restart,
    templates_set_time_to_live,
    tasks_wait_for_their_token,
]

if __name__ == "__main__":
    if not os.environ.get("TRIPHAMMER_STOCK"):
        for correct in CORRECTIONS:
            correct()
    if os.environ.get("TRIPHAMMER_SERVERS_ADDRESS"):
        listen_for_servers(os.environ["TRIPHAMMER_SERVERS_ADDRESS"])
    if os.environ.get("TRIPHAMMER_FAULTS"):
        for fault in faults.FAULTS:
            fault()
    app.main()
