/* SPDX-License-Identifier: MIT */
/* The queue: what waits, what failed; filtered, page by page, some of it chosen for what message.js does. */
import { el, pf } from "./dom.js";
import { button, card, choice, label, table, toolbar } from "./parts.js";
import { liveView } from "./live.js";
import { actions, showMessage } from "./message.js";
import { station } from "./station.js";
import { service } from "./varlink.js";
import { messageState, messageTint, when } from "./words.js";

const _ = cockpit.gettext;
const PAGE = 50;
const STATES = ["queued", "sending", "deferred", "held", "ambiguous", "failed", "sent"];

/* What a person has chosen to see; it outlives a look at another part. */
const wish = { account: "", state: "", text: "", pages: [], chosen: new Set() };

function read() {
    return service("ListQueue", {
        account: wish.account || undefined,
        states: wish.state ? [wish.state] : undefined,
        after: wish.pages[wish.pages.length - 1],
        limit: PAGE,
    });
}

function fits(message) {
    const text = wish.text.toLowerCase();
    return (
        !text ||
        [message.id, message.from, message.messageId, ...message.recipients.map(one => one.address)].some(
            word =>
                String(word || "")
                    .toLowerCase()
                    .includes(text)
        )
    );
}

/* ---- the table ---- */

function select(message, again) {
    return el("input", {
        type: "checkbox",
        class: "es-check",
        checked: wish.chosen.has(message.id),
        "aria-label": cockpit.format(_("Choose $0"), message.id),
        onchange: event => {
            if (event.target.checked) wish.chosen.add(message.id);
            else wish.chosen.delete(message.id);
            again();
        },
    });
}

function filters(again) {
    const anew = () => {
        wish.pages = [];
        wish.chosen.clear();
        again();
    };
    const accounts = station.status.accounts
        .filter(one => one.kind === "outgoing")
        .map(one => [one.name, one.name]);
    const named = (text, control) => el("label", { class: "es-filter" }, el("span", null, text), control);
    return toolbar(
        named(
            _("Account"),
            choice([["", _("all")], ...accounts], wish.account, {
                id: "queue-account",
                onchange: event => {
                    wish.account = event.target.value;
                    anew();
                },
            })
        ),
        named(
            _("State"),
            choice([["", _("not sent")], ...STATES.map(one => [one, messageState(one)])], wish.state, {
                id: "queue-state",
                onchange: event => {
                    wish.state = event.target.value;
                    anew();
                },
            })
        ),
        named(
            _("Search"),
            el("input", {
                type: "search",
                id: "queue-text",
                class: pf("c-form-control") + " es-input",
                value: wish.text,
                oninput: event => {
                    wish.text = event.target.value;
                    again();
                },
            })
        )
    );
}

function pages(found, again) {
    if (!wish.pages.length && !found.next) return null;
    return toolbar(
        button(
            _("Newer"),
            () => {
                wish.pages.pop();
                again();
            },
            "secondary",
            { disabled: !wish.pages.length }
        ),
        button(
            _("Further"),
            () => {
                wish.pages.push(found.next);
                again();
            },
            "secondary",
            { disabled: !found.next }
        )
    );
}

function draw(found, again) {
    const rows = found.messages.filter(fits);
    const done = () => {
        wish.chosen.clear();
        again();
    };
    const chosen = [...wish.chosen].filter(id => rows.some(one => one.id === id));
    const all = el(
        "div",
        { class: "es-toolbar" },
        button(
            _("Choose all"),
            () => {
                rows.forEach(one => wish.chosen.add(one.id));
                again();
            },
            "link",
            { disabled: !rows.length }
        ),
        actions(chosen, done)
    );
    const columns = [
        {
            title: _("Message"),
            cell: one => [
                station.mayChange ? select(one, again) : null,
                " ",
                button(one.id, () => showMessage(one.id, done), "link", {
                    "aria-label": cockpit.format(_("Show $0"), one.id),
                }),
            ],
        },
        { title: _("State"), cell: one => label(messageState(one.state), messageTint(one.state)) },
        { title: _("Account"), cell: one => one.account },
        {
            title: _("To"),
            cell: one => el("span", { class: "es-peer" }, one.recipients.map(to => to.address).join(", ")),
        },
        { title: _("Handed in"), cell: one => when(one.submitted) },
        {
            title: _("Waits for"),
            cell: one =>
                el("span", { class: "es-peer" }, (one.waitingFor && one.waitingFor.text) || one.cause || ""),
        },
    ];
    return [
        filters(again),
        station.mayChange ? all : null,
        table(_("Queue"), columns, rows, _("No message is here."), one => one.id),
        pages(found, again),
    ];
}

/* `path`: a state to begin with, "failed". */
export function queue(path) {
    if (path[0] && STATES.includes(path[0])) wish.state = path[0];
    return card(
        _("Queue"),
        liveView("queue", read, draw, ["queue.", "mail.sent", "mail.deferred", "mail.failed"])
    );
}
