/* SPDX-License-Identifier: MIT */
/* What comes step by step: the test of an account, a probe of a server, a heartbeat, an OAuth authorization. */
import { el } from "./dom.js";
import { openDialog } from "./dialog.js";
import { choice, failure, field, label, textInput } from "./parts.js";
import { serviceStream } from "./varlink.js";

const _ = cockpit.gettext;

function stepWords(step) {
    return (
        {
            resolve: _("find the server's address"),
            connect: _("connect"),
            tls: _("TLS"),
            certificate: _("certificate"),
            login: _("sign in"),
            capabilities: _("what the server can do"),
            queued: _("queued"),
            sent: _("sent"),
            arrived: _("arrived"),
        }[step] || String(step)
    );
}

function resultLabel(result) {
    const words = {
        ok: [_("ok"), "good"],
        warning: [_("warning"), "wait"],
        failed: [_("failed"), "bad"],
        skipped: [_("skipped"), "none"],
    };
    const [text, tint] = words[result] || [String(result), "none"];
    return label(text, tint);
}

/* A link is made of an address only that is https. */
function userCode(details) {
    if (!details || !details.userCode) return null;
    const uri = String(details.verificationUri || "");
    return el(
        "p",
        null,
        _("Open this address and type in the code:"),
        " ",
        uri.startsWith("https://")
            ? el("a", { href: uri, target: "_blank", rel: "noopener noreferrer" }, uri)
            : uri,
        " ",
        el("strong", { class: "es-code" }, details.userCode)
    );
}

function stepRow(step) {
    return el(
        "li",
        { class: "es-step" },
        el(
            "div",
            { class: "es-step-head" },
            resultLabel(step.result),
            el("span", { class: "es-step-name" }, stepWords(step.step)),
            step.milliseconds ? el("span", { class: "es-muted" }, `${step.milliseconds} ms`) : null
        ),
        el("p", { class: "es-step-text" }, step.text),
        userCode(step.details),
        step.cause && step.cause.remedy ? el("p", { class: "es-remedy" }, step.cause.remedy) : null
    );
}

/* A list that steps are added to as they come; start(heard) gives {done, close}. */
function stepList(start) {
    const list = el("ol", { class: "es-steps", "aria-live": "polite", "aria-label": _("Steps") });
    const state = el("p", { class: "es-muted", role: "status" }, _("under way"));
    const heard = reply => list.append(stepRow(reply.step));
    const stream = start(heard);
    stream.done.then(
        last => {
            if (last.step) heard(last);
            state.textContent = _("finished");
        },
        error => {
            state.textContent = _("not finished");
            list.after(failure(error));
        }
    );
    return { node: el("div", { class: "es-step-list" }, list, state), close: stream.close };
}

function showSteps(title, start) {
    const steps = stepList(start);
    openDialog(title, steps.node, [], { wide: true, onclose: steps.close });
}

export function testAccount(name) {
    showSteps(cockpit.format(_("Test of $0"), name), heard => serviceStream("TestAccount", { name }, heard));
}

export function sendHeartbeat(name) {
    showSteps(cockpit.format(_("Heartbeat of $0"), name), heard =>
        serviceStream("SendHeartbeat", { name }, heard)
    );
}

export function authorizeAccount(name) {
    showSteps(cockpit.format(_("Authorization of $0"), name), heard =>
        serviceStream("AuthorizeAccount", { name }, heard)
    );
}

/* Asks for a server and shows what it says, without an account. */
export function probeServer() {
    const host = field(_("Host"), textInput("", { required: true, autofocus: true }));
    const transport = field(
        _("Transport"),
        choice(
            [
                ["smtp", "SMTP"],
                ["imap", "IMAP"],
                ["pop3", "POP3"],
            ],
            "smtp"
        )
    );
    const security = field(
        _("Security"),
        choice(
            [
                ["ssl", _("TLS from the first byte")],
                ["starttls", "STARTTLS"],
                ["none", _("none")],
            ],
            "ssl"
        )
    );
    const port = field(_("Port"), textInput("", { inputmode: "numeric" }), _("Empty: the usual one."));
    const place = el("div");
    let steps = null;
    const end = () => steps && steps.close();
    const run = async () => {
        host.say(host.input.value.trim() ? "" : _("A host is needed."));
        const number = port.input.value.trim();
        port.say(!number || /^[0-9]{1,5}$/.test(number) ? "" : _("A port is a number."));
        if (!host.input.value.trim() || (number && !/^[0-9]{1,5}$/.test(number))) return false;
        end();
        steps = stepList(heard =>
            serviceStream(
                "Probe",
                {
                    host: host.input.value.trim(),
                    port: number ? Number(number) : undefined,
                    transport: transport.input.value,
                    security: security.input.value,
                },
                heard
            )
        );
        place.replaceChildren(steps.node);
        return false;
    };
    openDialog(
        _("Probe of a server"),
        [host.row, el("div", { class: "es-columns" }, transport.row, security.row, port.row), place],
        [{ text: _("Probe"), run }],
        { wide: true, onclose: end }
    );
}
