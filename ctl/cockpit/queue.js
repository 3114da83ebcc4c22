/* SPDX-License-Identifier: MIT */
/* The queue: what waits, what failed; filtered, page by page, some of it chosen for what message.js does. The address
 * says of which account and in which state: #/queue/failed?account=NAME. */
import { el, pf } from "./dom.js";
import { button, card, choice, filter, label, table, toolbar } from "./parts.js";
import { liveView, pager, pageStart } from "./live.js";
import { actions, showMessage } from "./message.js";
import { namesOf, station } from "./station.js";
import { service } from "./varlink.js";
import { messageState, messageTint, when } from "./words.js";

const _ = cockpit.gettext;
const PAGE = 50;
const STATES = ["queued", "sending", "deferred", "held", "ambiguous", "failed", "sent"];

function fits(message, text) {
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

/* ---- what is shown ---- */

function go(account, state) {
    cockpit.location.go(state ? ["queue", state] : ["queue"], account ? { account } : {});
}

function filters(account, state) {
    return toolbar(
        filter(
            _("Account"),
            choice([["", _("all")], ...namesOf("outgoing").map(one => [one, one])], account, {
                id: "queue-account",
                onchange: event => go(event.target.value, state),
            })
        ),
        filter(
            _("State"),
            choice([["", _("not sent")], ...STATES.map(one => [one, messageState(one)])], state, {
                id: "queue-state",
                onchange: event => go(account, event.target.value),
            })
        )
    );
}

function search({ state, show }) {
    return filter(
        _("Search"),
        el("input", {
            type: "search",
            id: "queue-text",
            class: pf("c-form-control") + " es-input",
            value: state.text,
            oninput: event => {
                state.text = event.target.value;
                show();
            },
        })
    );
}

/* ---- the table ---- */

function select(message, { state, show }) {
    return el("input", {
        type: "checkbox",
        class: "es-check",
        checked: state.chosen.has(message.id),
        "aria-label": cockpit.format(_("Choose $0"), message.id),
        onchange: event => {
            if (event.target.checked) state.chosen.add(message.id);
            else state.chosen.delete(message.id);
            show();
        },
    });
}

function draw(found, view) {
    const { state, again, show } = view;
    state.text = state.text || "";
    state.chosen = state.chosen || new Set();
    const rows = found.messages.filter(one => fits(one, state.text.toLowerCase()));
    const done = () => {
        state.chosen.clear();
        again();
    };
    const chosen = [...state.chosen].filter(id => rows.some(one => one.id === id));
    const all = el(
        "div",
        { class: "es-toolbar" },
        button(
            _("Choose all"),
            () => {
                rows.forEach(one => state.chosen.add(one.id));
                show();
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
                station.mayChange ? select(one, view) : null,
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
        toolbar(search(view)),
        station.mayChange ? all : null,
        table(_("Queue"), columns, rows, _("No message is here."), one => one.id),
        pager(found, view, _("Further")),
    ];
}

export function queue(path, options) {
    const state = STATES.includes(path[0]) ? path[0] : "";
    const account = namesOf("outgoing").includes(options.account) ? options.account : "";
    return card(
        _("Queue"),
        filters(account, state),
        liveView(
            "queue",
            view =>
                service("ListQueue", {
                    account: account || undefined,
                    states: state ? [state] : undefined,
                    after: pageStart(view),
                    limit: PAGE,
                }),
            draw,
            ["queue.", "mail.queued", "mail.sent", "mail.deferred", "mail.failed"]
        )
    );
}
