# SPDX-License-Identifier: MIT
"""The nine combinations: three transports, each by TLS from the first byte, STARTTLS and neither."""

TRANSPORTS = ("smtp", "imap", "pop3")
SECURITIES = ("ssl", "starttls", "plain")
NINE = [(transport, security) for transport in TRANSPORTS for security in SECURITIES]
SIX = [pair for pair in NINE if pair[1] != "plain"]

SWITCHES = {"ssl": {"useSsl": True, "useStartTls": False},
            "starttls": {"useSsl": False, "useStartTls": True},
            "plain": {"useSsl": False, "useStartTls": False}}
PORT_TABLE = {("smtp", "plain"): 25, ("smtp", "starttls"): 587, ("smtp", "ssl"): 465,
              ("imap", "plain"): 143, ("imap", "starttls"): 143, ("imap", "ssl"): 993,
              ("pop3", "plain"): 110, ("pop3", "starttls"): 110, ("pop3", "ssl"): 995}


def kind_of(transport):
    return "outgoing" if transport == "smtp" else "incoming"


def properties(transport, security, host, port, user, **more):
    """Properties of an account there. Incoming ones look when they are started or told to."""
    found = {"hostname": host, "port": port, "account": user, "connectionTimeout": 30, **SWITCHES[security]}
    if transport == "smtp":
        found["from"] = "sender@example.test"
    else:
        found.update(transport=transport, pollRate=3600)
    if security == "plain":
        found["allowPlaintextAuthentication"] = True
    return {**found, **more}
