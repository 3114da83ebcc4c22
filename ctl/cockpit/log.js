/* SPDX-License-Identifier: MIT */
/* The journal of the daemon's unit, as it comes, read by Cockpit with the rights of who is logged in. */
import { el, own } from "./dom.js";
import { alert, button, card, choice, filter, toolbar } from "./parts.js";
import { journalUnit } from "./settings.js";
import { locale } from "./words.js";

const _ = cockpit.gettext;
const FIRST = 200;
const MOST = 2000; /* lines that are kept */

/* journalctl's priorities, as words. */
function levels() {
    return [
        ["7", _("everything")],
        ["6", _("information and worse")],
        ["5", _("notices and worse")],
        ["4", _("warnings and worse")],
        ["3", _("errors")],
    ];
}

function tint(priority) {
    return priority <= 3 ? "bad" : priority === 4 ? "wait" : "none";
}

/* MESSAGE is an array of bytes where it is not UTF-8. */
function messageOf(entry) {
    return Array.isArray(entry.MESSAGE)
        ? new TextDecoder().decode(new Uint8Array(entry.MESSAGE))
        : String(entry.MESSAGE || "");
}

function line(entry) {
    const time = new Date(Number(entry.__REALTIME_TIMESTAMP) / 1000);
    const priority = Number(entry.PRIORITY === undefined ? 6 : entry.PRIORITY);
    return el(
        "li",
        { class: `es-log-line es-log-${tint(priority)}` },
        el(
            "time",
            { class: "es-muted", datetime: isNaN(time) ? undefined : time.toISOString() },
            isNaN(time) ? "" : time.toLocaleString(locale())
        ),
        " ",
        messageOf(entry)
    );
}

/* Follows the journal into `list` until it is closed. */
function follow(list, trouble, priority) {
    const command = [
        "journalctl",
        "--unit",
        journalUnit,
        "--output",
        "json",
        "--lines",
        String(FIRST),
        "--follow",
        "--priority",
        priority,
    ];
    let rest = "";
    let open = true;
    const process = cockpit.spawn(command, { superuser: "try", err: "message" });
    process
        .stream(text => {
            if (!list.isConnected && open) {
                open = false;
                process.close("terminated");
                return;
            }
            const lines = (rest + text).split("\n");
            rest = lines.pop();
            lines.filter(Boolean).forEach(one => {
                try {
                    list.prepend(line(JSON.parse(one)));
                } catch (error) {
                    list.prepend(el("li", { class: "es-log-line" }, one));
                }
            });
            while (list.childNodes.length > MOST) list.lastChild.remove();
        })
        .catch(error => {
            if (open)
                trouble.replaceChildren(
                    alert(
                        "bad",
                        _("The journal cannot be read."),
                        el("p", null, error.message || String(error.problem))
                    )
                );
        });
    return () => {
        open = false;
        process.close("terminated");
    };
}

function viewer() {
    const list = el("ol", { class: "es-log", tabindex: "0", "aria-label": _("Log, the newest first") });
    const trouble = el("div");
    let end = null;
    const begin = priority => {
        if (end) end();
        list.replaceChildren();
        trouble.replaceChildren();
        setTimeout(() => {
            end = follow(list, trouble, priority);
        });
    };
    const level = choice(levels(), "6", { id: "log-level", onchange: event => begin(event.target.value) });
    begin("6");
    return card(
        _("Log"),
        toolbar(
            filter(_("Show"), level),
            button(
                _("All logs of the unit"),
                () => cockpit.jump(`/system/logs#/?service=${encodeURIComponent(journalUnit)}`),
                "link"
            )
        ),
        trouble,
        list
    );
}

export function log() {
    return own("log", viewer);
}
