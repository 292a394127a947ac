"""Each correction of the launcher restores a rule of AWS: one test for each, which fails on MiniStack as it is.

TRIPHAMMER_STOCK=1 runs them on stock MiniStack, to see when a correction can go.
"""
import contextlib
import io
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
import zipfile

import boto3
import pytest
from botocore.exceptions import ClientError

ROOT = pathlib.Path(__file__).parents[3]
ROLE = "arn:aws:iam::000000000000:role/test"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Stack:
    def __init__(self, endpoint):
        self.endpoint = endpoint

    def __getattr__(self, service):
        return boto3.client(service, endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")

    def function(self, code):
        """A Python function whose handler is `code`; it may keep state in STATE between calls."""
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as z:
            z.writestr("f.py", "import json, time\nSTATE = {}\ndef handler(event, context):\n" + "".join(f"    {line}\n" for line in code.splitlines()))
        name = f"f-{uuid.uuid4().hex[:8]}"
        made = getattr(self, "lambda").create_function(FunctionName=name, Runtime="python3.11", Handler="f.handler", Role=ROLE, Code={"ZipFile": body.getvalue()}, Timeout=30)
        return made["FunctionArn"]

    def execute(self, states, input="{}", **top):
        """Start a machine of these states; the first one is the start."""
        definition = {"StartAt": next(iter(states)), "States": states, **top}
        machine = self.stepfunctions.create_state_machine(name=f"m-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE)["stateMachineArn"]
        return machine, self.stepfunctions.start_execution(stateMachineArn=machine, name="one", input=input)["executionArn"]

    def ended(self, execution, within=20):
        deadline = time.monotonic() + within
        while (seen := self.stepfunctions.describe_execution(executionArn=execution))["status"] == "RUNNING":
            assert time.monotonic() < deadline, "the execution does not end"
            time.sleep(0.05)
        return seen


@contextlib.contextmanager
def running(folder, **more):
    """A stack that keeps its state in `folder`, until the end of the block; asked to stop, it writes its state down."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    python = os.environ.get("TRIPHAMMER_PYTHON", str(ROOT / ".local/venv/bin/python"))
    for name in ("s3", "state", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TRIPHAMMER_STOCK") if name in os.environ}
    env |= {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "AWS_ENDPOINT_URL": endpoint,
            "S3_PERSIST": "1", "S3_DATA_DIR": str(folder / "s3"), "STATE_DIR": str(folder / "state"), "TMPDIR": str(folder / "tmp")} | more
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([python, str(ROOT / "infra/local/ministack_launcher.py")], env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            try:
                urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        yield Stack(endpoint)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running(tmp_path_factory.mktemp("ministack")) as stack:
        yield stack


def wait(seconds):
    return {"Type": "Wait", "Seconds": seconds, "End": True}


def task(arn, **more):
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": arn, "Payload": {}}, "End": True, **more}


def test_a_warm_call_takes_milliseconds(stack):
    arn, client = stack.function("return {}"), getattr(stack, "lambda")
    client.invoke(FunctionName=arn)
    times = []
    for _ in range(15):
        began = time.monotonic()
        client.invoke(FunctionName=arn)
        times.append(time.monotonic() - began)
    assert sorted(times)[0] < 0.04, times


def test_a_path_that_the_input_does_not_have_fails_the_execution(stack):
    _, execution = stack.execute({"Call": task(stack.function("return {}")) | {"Parameters": {"FunctionName": "x", "Payload": {"a.$": "$.missing"}}}})
    seen = stack.ended(execution)
    assert (seen["status"], seen.get("error")) == ("FAILED", "States.Runtime")


def test_the_longest_delay_bounds_the_delay_between_retries(stack):
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "BackoffRate": 30, "MaxDelaySeconds": 1, "MaxAttempts": 3}]
    _, execution = stack.execute({"Call": task(stack.function("raise ValueError('never')"), Retry=retry)})
    # Three delays of a second; without the bound the second one alone would be half a minute.
    began = time.monotonic()
    assert stack.ended(execution, within=12)["status"] == "FAILED"
    assert time.monotonic() - began > 2, "it did try again"


def test_a_machines_limit_ends_its_execution(stack):
    _, execution = stack.execute({"Wait": wait(6)}, TimeoutSeconds=1)
    assert stack.ended(execution)["status"] == "TIMED_OUT"


def test_a_stopped_execution_enters_no_further_state_and_stays_stopped(stack):
    counted = stack.dynamodb
    counted.create_table(TableName="calls", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST")
    put = {"Type": "Task", "Resource": "arn:aws:states:::dynamodb:putItem", "Parameters": {"TableName": "calls", "Item": {"id": {"S.$": "$.id"}}}, "End": True}
    slow = task(stack.function("time.sleep(0.7)\nreturn {}"), ResultPath=None) | {"End": False, "Next": "Put"}
    each = {"StartAt": "Slow", "States": {"Slow": slow, "Put": put}}
    _, execution = stack.execute({"Map": {"Type": "Map", "MaxConcurrency": 1, "ItemsPath": "$.items", "ItemProcessor": each, "End": True}}, input=json.dumps({"items": [{"id": str(n)} for n in range(5)]}))
    time.sleep(1.5)
    stack.stepfunctions.stop_execution(executionArn=execution)
    time.sleep(4)
    assert stack.stepfunctions.describe_execution(executionArn=execution)["status"] == "ABORTED"
    assert 0 < counted.scan(TableName="calls")["Count"] <= 2


def test_starting_a_running_execution_again_answers_with_it_and_another_input_is_refused(stack):
    machine, execution = stack.execute({"Wait": wait(3)}, input='{"a": 1}')
    again = stack.stepfunctions.start_execution(stateMachineArn=machine, name="one", input='{"a": 1}')
    assert again["executionArn"] == execution
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        stack.stepfunctions.start_execution(stateMachineArn=machine, name="one", input='{"a": 2}')


def test_a_function_that_fails_behind_the_api_is_a_500_without_its_words(stack):
    arn, api = stack.function("raise ValueError('hunter2')"), stack.apigatewayv2
    made = api.create_api(Name="a", ProtocolType="HTTP")["ApiId"]
    integration = api.create_integration(ApiId=made, IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0")["IntegrationId"]
    api.create_route(ApiId=made, RouteKey="$default", Target=f"integrations/{integration}")
    api.create_stage(ApiId=made, StageName="$default", AutoDeploy=True)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{stack.endpoint}/_aws/execute-api/{made}/$default/x")
    assert refused.value.code == 500
    assert b"hunter2" not in refused.value.read()


def test_a_stream_retries_what_is_reported_gives_up_on_poison_and_moves_on(stack):
    stack.dynamodb.create_table(TableName="events", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                                BillingMode="PAY_PER_REQUEST", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    for name in ("seen", "poison"):
        stack.sqs.create_queue(QueueName=name)
    queue = {name: stack.sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in ("seen", "poison")}
    poison = stack.sqs.get_queue_attributes(QueueUrl=queue["poison"], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    arn = stack.function(
        "import os, urllib.request, urllib.parse\n"
        "failed = []\n"
        "for r in event['Records']:\n"
        "    id = r['dynamodb']['NewImage']['id']['S']\n"
        "    STATE[id] = STATE.get(id, 0) + 1\n"
        "    if id == 'poison' or id == 'once' and STATE[id] == 1:\n"
        "        failed.append({'itemIdentifier': r['dynamodb']['SequenceNumber']})\n"
        "        break\n"
        f"    body = urllib.parse.urlencode({{'Action': 'SendMessage', 'QueueUrl': '{queue['seen']}', 'MessageBody': id}}).encode()\n"
        "    urllib.request.urlopen(urllib.request.Request(os.environ['AWS_ENDPOINT_URL'] + '/', data=body, headers={'content-type': 'application/x-www-form-urlencoded', 'authorization': 'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request'}))\n"
        "return {'batchItemFailures': failed}")
    stream = stack.dynamodb.describe_table(TableName="events")["Table"]["LatestStreamArn"]
    getattr(stack, "lambda").create_event_source_mapping(FunctionName=arn, EventSourceArn=stream, StartingPosition="TRIM_HORIZON", BatchSize=1, MaximumRetryAttempts=2,
                                                         FunctionResponseTypes=["ReportBatchItemFailures"], DestinationConfig={"OnFailure": {"Destination": poison}})
    for id in ("once", "poison", "last"):
        stack.dynamodb.put_item(TableName="events", Item={"id": {"S": id}})
    seen, deadline = [], time.monotonic() + 15
    while "last" not in seen and time.monotonic() < deadline:
        for message in stack.sqs.receive_message(QueueUrl=queue["seen"], MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", []):
            seen.append(message["Body"])
            stack.sqs.delete_message(QueueUrl=queue["seen"], ReceiptHandle=message["ReceiptHandle"])
    assert seen == ["once", "last"]
    assert len(stack.sqs.receive_message(QueueUrl=queue["poison"], WaitTimeSeconds=2).get("Messages", [])) == 1


def test_a_stream_goes_on_where_it_was_when_the_stack_is_started_again(tmp_path):
    def records(stack):
        """What the function was given so far, as its log has it; the log outlives the stack too."""
        return [event["message"] for group in stack.logs.describe_log_groups()["logGroups"]
                for event in stack.logs.filter_log_events(logGroupName=group["logGroupName"])["events"] if "GIVEN" in event["message"]]

    def given(stack, id, within=20):
        deadline = time.monotonic() + within
        while not any(f"GIVEN {id}" in line for line in records(stack)):
            assert time.monotonic() < deadline, f"{id} was not given to the function: {records(stack)}"
            time.sleep(0.1)

    def put(stack, *ids):
        for id in ids:
            stack.dynamodb.put_item(TableName="kept", Item={"id": {"S": id}})

    with running(tmp_path, PERSIST_STATE="1") as stack:
        stack.dynamodb.create_table(TableName="kept", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                                    BillingMode="PAY_PER_REQUEST", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
        arn = stack.function("for r in event['Records']:\n    print('GIVEN', r['dynamodb']['NewImage']['id']['S'], flush=True)\nreturn {}")
        stream = stack.dynamodb.describe_table(TableName="kept")["Table"]["LatestStreamArn"]
        reader = getattr(stack, "lambda").create_event_source_mapping(FunctionName=arn, EventSourceArn=stream, StartingPosition="TRIM_HORIZON", BatchSize=1)["UUID"]
        put(stack, "first", "second", "third")
        given(stack, "third")
        getattr(stack, "lambda").update_event_source_mapping(UUID=reader, Enabled=False)
        time.sleep(1)
        put(stack, "unread")
    with running(tmp_path, PERSIST_STATE="1") as stack:
        before = len(records(stack))
        getattr(stack, "lambda").update_event_source_mapping(UUID=reader, Enabled=True)
        put(stack, "last")
        given(stack, "last")
        told = [line.strip() for line in records(stack)[before:]]
        assert told == ["GIVEN unread", "GIVEN last"], "what was not read is told, and nothing again"


def test_a_template_sets_a_tables_time_to_live(stack):
    template = {"Resources": {"T": {"Type": "AWS::DynamoDB::Table", "Properties": {
        "TableName": "with-ttl", "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}], "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True}}}}}
    stack.cloudformation.create_stack(StackName="ttl", TemplateBody=json.dumps(template))
    deadline = time.monotonic() + 10
    while stack.cloudformation.describe_stacks(StackName="ttl")["Stacks"][0]["StackStatus"] != "CREATE_COMPLETE":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    said = stack.dynamodb.describe_time_to_live(TableName="with-ttl")["TimeToLiveDescription"]
    assert (said["TimeToLiveStatus"], said.get("AttributeName")) == ("ENABLED", "expires_at")


def waiting(function, **more):
    """A state that waits for its token, which the function gets."""
    parameters = {"FunctionName": function, "Payload": {"token.$": "$$.Task.Token"}}
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "Parameters": parameters, "TimeoutSeconds": 15, "End": True, **more}


def test_a_function_that_fails_fails_the_task_that_waits_for_its_token(stack):
    refused = stack.function("class Refused(Exception): pass\nraise Refused('no')")
    _, execution = stack.execute({"wait": waiting(refused, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "caught"}]), "caught": {"Type": "Succeed"}})
    assert stack.ended(execution, within=10)["status"] == "SUCCEEDED"


def test_silence_for_longer_than_the_heartbeat_fails_the_task(stack):
    silent = stack.function("return None")
    began = time.monotonic()
    _, execution = stack.execute({"wait": waiting(silent, HeartbeatSeconds=1)})
    assert stack.ended(execution)["error"] == "States.HeartbeatTimeout"
    assert time.monotonic() - began < 10


def test_each_try_of_a_task_has_a_token_of_its_own(stack):
    seen = stack.function("STATE.setdefault('seen', set()).add(event['token'])\nif len(STATE['seen']) == 2: raise Exception('two tokens')\nreturn None")
    retry = [{"ErrorEquals": ["States.HeartbeatTimeout"], "IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 1}]
    _, execution = stack.execute({"wait": waiting(seen, HeartbeatSeconds=1, Retry=retry)})
    assert "two tokens" in stack.ended(execution)["cause"]
