"""Let a parser of Amazon States Language read every generated machine: it refuses what Step Functions would.

Runs moto's Step Functions in this process; the substitutions of the template become ARNs that look right.
"""
import json
import pathlib
import re
import sys

import boto3
from moto import mock_aws

ROLE = "arn:aws:iam::123456789012:role/machine"


def main() -> int:
    folder = pathlib.Path(__file__).parents[2] / "state-machines"
    files = sorted(folder.glob("*.asl.json"))
    if not files:
        print(f"no machines in {folder}", file=sys.stderr)
        return 1
    bad = 0
    with mock_aws():
        machines = boto3.client("stepfunctions", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        for file in files:
            text = re.sub(r"\$\{(\w+)\}", r"arn:aws:lambda:us-east-1:123456789012:function:\1:1", file.read_text())
            try:
                machines.create_state_machine(name=file.name.split(".")[0], definition=text, roleArn=ROLE)
                json.loads(text)
            except Exception as error:  # whatever it says is for the reader
                print(f"{file.name}: {error}", file=sys.stderr)
                bad += 1
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
