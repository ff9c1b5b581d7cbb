"""accepts_jobs.py CONFIG_JSON: exit 0 when the CE named there takes jobs, else say why not and exit 1.

It asks as a client does, with the user's certificate, so that it covers TLS, the mapping and the state that A-REX
publishes about itself. The standard library is enough, for the grid is started before any virtual environment.
"""

import http.client
import json
import ssl
import sys


def get(server, context, path):
    """The answer to one GET below the CE's address, as text."""
    host, _, service = server.partition("/")
    connection = http.client.HTTPSConnection(host, context=context, timeout=10)
    try:
        connection.request("GET", f"/{service}/rest/1.0/{path}", headers={"Accept": "text/xml"})
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
    finally:
        connection.close()
    if response.status != 200:
        raise OSError(f"{path}: {response.status} {response.reason}")
    return body


def why_not(config):
    """The reason why the CE does not take jobs, or an empty string."""
    context = ssl.create_default_context(capath=config["CERTS_DIR"])
    context.load_cert_chain(config["CLIENT_CERT"], config["CLIENT_KEY"])
    get(config["ARC_SERVER"], context, "jobs")  # refused when the user may not submit
    _, found, endpoint = get(config["ARC_SERVER"], context, "info").partition(">org.nordugrid.arcrest<")
    if not found:
        return "the CE does not publish its REST endpoint yet"
    state = endpoint.partition("<HealthState>")[2].partition("<")[0]
    return "" if state == "ok" else f"the CE calls its endpoint {state or 'nothing yet'}"


try:
    with open(sys.argv[1]) as file:
        reason = why_not(json.load(file))
except (OSError, ValueError, http.client.HTTPException) as error:
    reason = str(error)
if reason:
    sys.exit(f"{reason}")
