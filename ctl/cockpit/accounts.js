/* SPDX-License-Identifier: MIT */
/* The table of accounts, and what can be done with one. */
import { el } from "./dom.js";
import { changing, confirm } from "./dialog.js";
import { button, card, statusLabel, table, toolbar } from "./parts.js";
import { askPassword } from "./secrets.js";
import { authorizeAccount, probeServer, sendHeartbeat, testAccount } from "./steps.js";
import { station } from "./station.js";
import { service } from "./varlink.js";
import { endWords, security, waiting, when, worstFirst } from "./words.js";

const _ = cockpit.gettext;

export function accountLink(name) {
    return el("a", { href: `#${cockpit.location.encode(["accounts", name])}` }, name);
}

function lastSuccess(account) {
    return account.lastPollSuccess ? when(account.lastPollSuccess) : _("never");
}

const columns = [
    {
        title: _("Account"),
        cell: one => [
            accountLink(one.name),
            one.default ? [" ", el("span", { class: "es-muted" }, _("(default)"))] : null,
        ],
    },
    { title: _("Status"), cell: one => statusLabel(one.status) },
    { title: _("Host"), cell: one => `${String(one.transport).toUpperCase()} ${one.hostname}` },
    { title: _("Security"), cell: one => security(one) },
    { title: _("Last success"), cell: lastSuccess },
    { title: _("Queue"), class: "es-right", cell: one => (one.queue ? waiting(one.queue) : "–") },
    {
        title: _("Certificate ends"),
        cell: one =>
            one.tls && one.tls.notAfter
                ? [
                      el(
                          "time",
                          { datetime: one.tls.notAfter, title: when(one.tls.notAfter) },
                          endWords(one.tls.notAfter)
                      ),
                  ]
                : "–",
    },
];

export function accountsTable() {
    return [
        station.mayChange
            ? toolbar(
                  button(_("Add an account"), () => cockpit.location.go(["accounts", "+"]), "primary"),
                  button(_("Probe a server"), () => probeServer())
              )
            : null,
        card(
            _("Accounts"),
            table(
                _("Accounts"),
                columns,
                worstFirst(station.status.accounts),
                _("There is no account yet."),
                one => one.name
            )
        ),
    ];
}

/* Acts now: what waits is sent, what has come is fetched. */
function tryNow(account) {
    return changing(_("Try now"), () => service("Poll", { name: account.name }));
}

function enable(account, enabled) {
    return changing(account.name, () =>
        service("SetAccount", { name: account.name, properties: { enabled } })
    );
}

function remove(account) {
    const waits = account.queue ? waiting(account.queue) : 0;
    const text = waits
        ? cockpit.format(
              cockpit.ngettext(
                  "$0 message waits to be sent by it, and fails.",
                  "$0 messages wait to be sent by it, and fail.",
                  waits
              ),
              waits
          )
        : _("Its settings and its password are deleted. Mail at the server stays there.");
    confirm(cockpit.format(_("Delete the account $0?"), account.name), text, _("Delete"), async () => {
        await service("DeleteAccount", { name: account.name, force: waits > 0 });
        cockpit.location.go(["accounts"]);
    });
}

/* The few that matter where it is ill. */
export function healingActions(account) {
    return [button(_("Try now"), () => tryNow(account)), button(_("Test"), () => testAccount(account.name))];
}

export function allActions(account) {
    if (!station.mayChange) return null;
    return toolbar(
        button(_("Test"), () => testAccount(account.name)),
        button(_("Try now"), () => tryNow(account)),
        button(_("Password"), () => askPassword(account.name)),
        account.oauthGrant === "device" ? button(_("Authorize"), () => authorizeAccount(account.name)) : null,
        account.heartbeat ? button(_("Send a heartbeat"), () => sendHeartbeat(account.name)) : null,
        account.enabled
            ? button(_("Disable"), () => enable(account, false))
            : button(_("Enable"), () => enable(account, true)),
        button(_("Delete"), () => remove(account), "danger")
    );
}
