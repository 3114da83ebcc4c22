/* SPDX-License-Identifier: MIT */
/* The Varlink client: one connection a call, through Cockpit's own channel and with the rights of who is logged
 * in. A message is JSON and a zero byte. Whatever goes wrong arrives as a VarlinkError with a cause, as the
 * daemon's own errors do. */
import { socketPath } from "./settings.js";

const _ = cockpit.gettext;

export class VarlinkError extends Error {
    /* name: of the error, without the interface; cause: {code, text, remedy}; problems: [{property, text, remedy}] */
    constructor(name, cause, problems) {
        super(cause.text);
        this.name = name;
        this.cause = cause;
        this.problems = problems || [];
    }
}

/* A channel that ended has a word of Cockpit's in place of an error of the daemon's. */
function lost(problem, message) {
    const reasons = {
        "not-found": [
            _("The mail station is not running: its socket is not there."),
            "systemctl start emailsecd",
        ],
        "access-denied": [
            _("You may not use the mail station."),
            _("Get administrative access, or have yourself added to the group emailsec or emailsec-admin."),
        ],
    };
    const [text, remedy] = reasons[problem] || [
        message || _("The mail station ended the connection."),
        "systemctl status emailsecd",
    ];
    return new VarlinkError(problem === "access-denied" ? "PermissionDenied" : "NoDaemon", {
        code: "NoDaemon",
        text,
        remedy,
    });
}

function errorOf(reply) {
    const parameters = reply.parameters || {};
    const name = String(reply.error).split(".").pop();
    const cause = parameters.cause || { code: name, text: String(reply.error), remedy: "" };
    return new VarlinkError(name, cause, parameters.problems);
}

/* Messages out of what the channel brings, in whatever pieces. */
function splitter(heard) {
    const decoder = new TextDecoder();
    let rest = "";
    return bytes => {
        const parts = (rest + decoder.decode(bytes, { stream: true })).split("\0");
        rest = parts.pop();
        parts.forEach(part => heard(JSON.parse(part)));
    };
}

/* Calls, and tells `heard` the parameters of each reply that has more behind it. `done` is a promise of the last
 * one; `close` gives up, and `done` is then never kept. */
function talk(method, parameters, heard) {
    const channel = cockpit.channel({ payload: "stream", unix: socketPath, binary: true, superuser: "try" });
    let over = false;
    const done = new Promise((resolve, reject) => {
        const finish = settle => {
            if (over) return;
            over = true;
            channel.close();
            settle();
        };
        const split = splitter(reply => {
            if (reply.error) finish(() => reject(errorOf(reply)));
            else if (reply.continues) heard(reply.parameters || {});
            else finish(() => resolve(reply.parameters || {}));
        });
        channel.addEventListener("message", (event, bytes) => {
            try {
                split(bytes);
            } catch (error) {
                finish(() => reject(lost("protocol-error", error.message)));
            }
        });
        channel.addEventListener("close", (event, options) =>
            finish(() => reject(lost(options.problem, options.message)))
        );
    });
    const request = { method, parameters };
    if (heard) request.more = true;
    channel.send(new TextEncoder().encode(JSON.stringify(request) + "\0"));
    const close = () => {
        if (!over) channel.close();
        over = true;
    };
    return { done, close };
}

const SERVICE = "io.emailsec.EmailService.";
const TRUST = "io.emailsec.Trust.";

/* A method of either interface: a promise of the reply's parameters. */
export function service(method, parameters = {}) {
    return talk(SERVICE + method, parameters).done;
}

export function trust(method, parameters = {}) {
    return talk(TRUST + method, parameters).done;
}

/* One that answers several times: {done, close}. */
export function serviceStream(method, parameters, heard) {
    return talk(SERVICE + method, parameters, heard);
}
