/* SPDX-License-Identifier: MIT */
/* One account: how it is, what can be done with it, and its property sheet; or a new one. */
import { announce, el, own } from "./dom.js";
import {
    alert,
    button,
    card,
    choice,
    failure,
    field,
    fingerprint,
    sheet,
    statusLabel,
    textInput,
} from "./parts.js";
import { allActions } from "./accounts.js";
import { explain, propertySheet, sheetFoot } from "./sheet.js";
import { describe } from "./describe.js";
import { accountRemedy } from "./remedies.js";
import { askPassword } from "./secrets.js";
import { accountNamed, onEvent, refresh, station } from "./station.js";
import { service } from "./varlink.js";
import { isIll, waiting, when } from "./words.js";

const _ = cockpit.gettext;

function backLink() {
    return el("p", null, el("a", { href: "#/accounts" }, _("All accounts")));
}

/* ---- how it is ---- */

function tlsWords(tls) {
    if (!tls) return "";
    const by =
        {
            allowedHost: _("encrypted, identity by exemption"),
            user: _("verified by the User Trust Store"),
            system: _("verified by the System Trust Store"),
        }[tls.verifiedBy] || _("not verified");
    return [`${tls.version}, ${tls.cipher}; ${by}`, el("br"), fingerprint(tls.fingerprintSha256)];
}

function valueWords(property, value) {
    if (value === null || value === undefined || value === "") return "";
    if (property.type === "time") return when(value);
    if (property.name === "tls") return tlsWords(value);
    return typeof value === "object" ? value.text || JSON.stringify(value) : String(value);
}

function state(account, description) {
    const rows = description[account.kind].filter(
        one => one.access === "read" && !["status", "faultCause"].includes(one.name)
    );
    return sheet([
        [_("Status"), statusLabel(account.status)],
        account.queue
            ? [
                  _("Queue"),
                  cockpit.format(_("$0 waiting, $1 failed"), waiting(account.queue), account.queue.failed),
              ]
            : ["", ""],
        ...rows.map(one => [el("span", { title: one.help }, one.name), valueWords(one, account[one.name])]),
    ]);
}

function trouble(account) {
    if (!isIll(account.status) || !account.cause) return null;
    return alert(
        account.status === "down" ? "wait" : "bad",
        account.cause.text,
        accountRemedy(account)
    );
}

/* ---- its sheet ---- */

function overtaken() {
    return alert("wait", _("Somebody else has changed this account meanwhile: “Undo” shows how it is now."));
}

function editor(account, description) {
    const place = el("div");
    let fields = null;
    let saving = false;
    const foot = sheetFoot(
        () => save(),
        () => {
            place.replaceChildren();
            fill(account.name);
        }
    );
    const holder = el("div");
    const changed = () => foot.show(Object.keys(fields.changes()).length);

    async function fill(name) {
        try {
            const { account: now } = await service("GetAccount", { name });
            fields = propertySheet(description, now.kind, now.properties, changed, !station.mayChange);
            holder.replaceChildren(fields.node);
            foot.show(0);
        } catch (error) {
            place.replaceChildren(failure(error));
        }
    }

    async function save() {
        const properties = fields.changes();
        saving = true;
        try {
            await service("SetAccount", { name: account.name, properties });
            explain(null, fields.controls, place);
            await fill(account.name);
            place.replaceChildren(alert("good", _("Saved.")));
            announce(_("Saved."));
            refresh();
        } catch (error) {
            explain(error, fields.controls, place);
        }
        saving = false;
    }

    const end = onEvent(event => {
        if (!holder.isConnected) {
            end();
        } else if (event.event === "account.changed" && event.account === account.name && fields) {
            if (!Object.keys(fields.changes()).length) fill(account.name);
            else if (!saving) place.replaceChildren(overtaken());
        }
    });
    fill(account.name);
    return card(_("Properties"), place, holder, station.mayChange ? foot.node : null);
}

function existing(account) {
    return [
        backLink(),
        el("h2", { class: "es-account-title" }, account.name, " ", statusLabel(account.status)),
        allActions(account),
        trouble(account),
        account.warnings.map(text => alert("wait", text)),
        own("sheet", () => {
            const node = el("div");
            describe().then(
                found => node.replaceChildren(editor(account, found)),
                error => node.replaceChildren(failure(error))
            );
            return node;
        }),
        known ? card(_("State"), state(account, known)) : learn(),
    ];
}

/* The description, once it is there: what is drawn at each refresh cannot wait for it. */
let known = null;

function learn() {
    describe().then(
        found => {
            if (!known) {
                known = found;
                refresh();
            }
        },
        () => {}
    );
    return null;
}

/* ---- a new one ---- */

function adder(description) {
    const place = el("div");
    const name = field(
        _("Name"),
        textInput("", { id: "property-name", required: true, autofocus: true }),
        _("Letters, digits, dot, underscore, hyphen.")
    );
    const kind = field(
        _("Kind"),
        choice(
            [
                ["outgoing", _("outgoing: it sends")],
                ["incoming", _("incoming: it receives")],
            ],
            "outgoing",
            { id: "property-kind", onchange: () => fill() }
        )
    );
    const holder = el("div");
    let fields = null;

    function fill() {
        const was = fields ? fields.changes() : {};
        fields = propertySheet(description, kind.input.value, {}, () => {}, false);
        Object.entries(was).forEach(
            ([word, value]) =>
                fields.controls.has(word) && word !== "transport" && fields.controls.get(word).set(value)
        );
        holder.replaceChildren(fields.node);
    }

    async function add() {
        const controls = new Map([
            ["name", { say: name.say, focus: () => name.input.focus() }],
            ["kind", { say: kind.say, focus: () => kind.input.focus() }],
            ...fields.controls,
        ]);
        const given = name.input.value.trim();
        try {
            await service("AddAccount", {
                name: given,
                kind: kind.input.value,
                properties: fields.changes(),
            });
            explain(null, controls, place);
            cockpit.location.go(["accounts", given]);
            refresh();
            askPassword(given);
        } catch (error) {
            explain(error, controls, place);
        }
    }

    fill();
    return card(
        _("New account"),
        el(
            "form",
            {
                novalidate: true,
                onsubmit: event => {
                    event.preventDefault();
                    add();
                },
            },
            place,
            el("div", { class: "es-columns" }, name.row, kind.row),
            holder,
            el(
                "div",
                { class: "es-foot" },
                button(_("Add"), () => add(), "primary"),
                button(_("Cancel"), () => cockpit.location.go(["accounts"]), "link")
            )
        )
    );
}

function newAccount() {
    if (!station.mayChange) return [backLink()];
    return [
        backLink(),
        own("new", () => {
            const node = el("div", null, el("p", { class: "es-empty", role: "status" }, _("Reading…")));
            describe().then(
                found => node.replaceChildren(adder(found)),
                error => node.replaceChildren(failure(error))
            );
            return node;
        }),
    ];
}

export function accountView(name) {
    if (name === "+") return newAccount();
    const account = accountNamed(name);
    if (!account) return [backLink(), alert("none", cockpit.format(_("There is no account $0."), name))];
    return existing(account);
}
