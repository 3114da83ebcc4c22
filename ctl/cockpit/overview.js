/* SPDX-License-Identifier: MIT */
/* The overview: what is not well, worst first, with what to do about it; then what works, and numbers. */
import { el } from "./dom.js";
import { alert, button, card, label, sheet, statusLabel, table } from "./parts.js";
import { accountRemedy, remedy } from "./remedies.js";
import { accountLink, healingActions } from "./accounts.js";
import { station } from "./station.js";
import { isIll, statusWords, waiting, when, worstFirst } from "./words.js";
import { charts } from "./charts.js";

const _ = cockpit.gettext;
const MOST_ADVICE = 20;

/* Those that differ by their names only are told together. */
function groups(accounts) {
    const found = new Map();
    worstFirst(accounts)
        .filter(one => isIll(one.status))
        .forEach(account => {
            const without = String(account.cause ? account.cause.text : "").replaceAll(account.name, "NAME");
            const key = `${account.status} ${account.challenge || ""} ${without}`;
            found.set(key, [...(found.get(key) || []), account]);
        });
    return [...found.values()];
}

/* What can be done about every account that is ill. */
function nextSteps(account) {
    return station.mayChange && account.status !== "challenge" ? healingActions(account) : [];
}

function trouble(accounts) {
    const [first] = accounts;
    return el(
        "li",
        { class: "es-trouble", "data-key": first.name },
        el(
            "div",
            { class: "es-trouble-head" },
            statusLabel(first.status),
            el(
                "span",
                null,
                accounts.map((one, at) => [at ? ", " : "", accountLink(one.name)])
            ),
            el("span", { class: "es-muted" }, `${String(first.transport).toUpperCase()} ${first.hostname}`)
        ),
        el("p", null, first.cause ? first.cause.text : statusWords(first.status)),
        accountRemedy(first, ...(accounts.length === 1 ? nextSteps(first) : []))
    );
}

function stationFaults(status) {
    return status.faults.map(fault => alert("bad", fault.text, remedy(fault.remedy)));
}

function soonToEnd(status) {
    return status.soon.map(cause => alert("wait", cause.text, remedy(cause.remedy)));
}

/* What an account's own entry, a fault or "soon" says already is left out. */
function isSaid(status, text) {
    return (
        status.accounts.some(
            one =>
                isIll(one.status) &&
                ((one.cause && one.cause.text && text.includes(one.cause.text)) ||
                    (one.challenge && text.includes(one.challenge)))
        ) || [...status.faults, ...status.soon].some(one => text.includes(one.text))
    );
}

/* What concerns one account leads there where no command does. */
function advised(status, text) {
    const { name } = status.accounts.find(one => text.startsWith(`${one.name}: `)) || {};
    const [words, buttons] = remedy(text, name);
    return [
        words,
        buttons ||
            (name &&
                el(
                    "div",
                    { class: "es-toolbar" },
                    button(_("Properties"), () => cockpit.location.go(["accounts", name]), "secondary", {
                        "aria-label": cockpit.format(_("Properties of $0"), name),
                    })
                )),
    ];
}

function advice(status) {
    const rows = status.advice.filter(text => !isSaid(status, text));
    if (!rows.length) return null;
    return card(
        _("To do"),
        el(
            "ul",
            { class: "es-advice" },
            rows.slice(0, MOST_ADVICE).map(text => el("li", { "data-key": text }, advised(status, text)))
        ),
        rows.length > MOST_ADVICE
            ? el("p", { class: "es-muted" }, cockpit.format(_("and $0 more"), rows.length - MOST_ADVICE))
            : null
    );
}

function counts(status) {
    const queue = status.queue;
    const change = status.lastChange;
    return card(
        _("Station"),
        sheet([
            [_("Host"), status.hostname],
            [_("Version"), status.version],
            [_("Running since"), when(status.started)],
            [_("Default account"), status.defaultAccount],
            [
                _("Queue"),
                cockpit.format(
                    _("$0 waiting, $1 of them held, $2 failed"),
                    waiting(queue),
                    queue.held,
                    queue.failed
                ),
            ],
            [_("Challenges"), String(status.challenges)],
            [
                _("Exemptions"),
                cockpit.format(_("$0, no longer needed: $1"), status.exemptions, status.needless),
            ],
            [
                _("Submission by SMTP"),
                status.submission &&
                    cockpit.format(
                        _("$0 accepted, $1 refused"),
                        status.submission.accepted,
                        status.submission.refused
                    ),
            ],
            [_("Last change"), change && `${when(change.time)}: ${change.text}`],
        ])
    );
}

function well(status) {
    const rows = worstFirst(status.accounts).filter(one => !isIll(one.status));
    if (!rows.length) return null;
    return card(
        _("Working"),
        table(
            _("Working"),
            [
                { title: _("Account"), cell: one => accountLink(one.name) },
                { title: _("Status"), cell: one => statusLabel(one.status) },
                { title: _("Server"), cell: one => `${String(one.transport).toUpperCase()} ${one.hostname}` },
                {
                    title: _("Waiting"),
                    class: "es-right",
                    cell: one => (one.queue ? waiting(one.queue) : ""),
                },
            ],
            rows,
            "",
            one => one.name
        )
    );
}

function headline(status) {
    const ill = status.accounts.filter(one => isIll(one.status)).length + status.faults.length;
    const text = ill
        ? cockpit.format(cockpit.ngettext("$0 needs attention", "$0 need attention", ill), ill)
        : _("Nothing is wrong.");
    return el("p", { class: "es-headline", role: "status" }, label(text, ill ? "bad" : "good"));
}

export function overview() {
    const { status } = station;
    const ill = groups(status.accounts);
    return [
        headline(status),
        stationFaults(status),
        ill.length
            ? card(_("Not well, worst first"), el("ul", { class: "es-troubles" }, ill.map(trouble)))
            : null,
        soonToEnd(status),
        advice(status),
        el("div", { class: "es-columns es-wide-columns" }, well(status), counts(status)),
        charts(),
    ];
}
