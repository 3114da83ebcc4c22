/* SPDX-License-Identifier: MIT */
/* What to do, as buttons: where a remedy names a command of the tool that this page can do as well, a button
 * does it. One table for all remedies, whoever tells them. */
import { el } from "./dom.js";
import { changing } from "./dialog.js";
import { button } from "./parts.js";
import { askPassword } from "./secrets.js";
import { decide } from "./challenge.js";
import { importCertificates } from "./stores.js";
import { station } from "./station.js";
import { authorizeAccount, sendHeartbeat, testAccount } from "./steps.js";
import { service, trust } from "./varlink.js";

const _ = cockpit.gettext;

function go(...path) {
    cockpit.location.go(path);
}

/* `name`: of the account that the remedy is about; the word NAME of a remedy stands for it. */
const remedies = [
    {
        command: /emailsecctl challenge (?:show|accept) ([0-9a-z]{6,})/,
        text: _("Decide"),
        run: ([, id]) => decide(id),
        main: true,
    },
    {
        command: /emailsecctl challenge list/,
        text: _("Certificates"),
        read: true,
        run: () => go("certificates"),
    },
    { command: /emailsecctl trust import/, text: _("Import a certificate"), run: () => importCertificates() },
    {
        command: /emailsecctl allowed prune/,
        text: _("Prune"),
        main: true,
        run: () => changing(_("Prune"), () => trust("Prune", {})),
    },
    {
        command: /emailsecctl account password (\S+)/,
        text: _("Set the password"),
        account: true,
        main: true,
        run: ([, name]) => askPassword(name),
    },
    {
        command: /emailsecctl account authorize (\S+)/,
        text: _("Authorize"),
        account: true,
        main: true,
        run: ([, name]) => authorizeAccount(name),
    },
    {
        command: /emailsecctl account enable (\S+)/,
        text: _("Enable"),
        account: true,
        main: true,
        run: ([, name]) =>
            changing(_("Enable"), () => service("SetAccount", { name, properties: { enabled: true } })),
    },
    {
        command: /emailsecctl account heartbeat (\S+)/,
        text: _("Send a heartbeat"),
        account: true,
        run: ([, name]) => sendHeartbeat(name),
    },
    {
        command: /emailsecctl account test (\S+)/,
        text: _("Test"),
        account: true,
        run: ([, name]) => testAccount(name),
    },
    {
        command: /emailsecctl account (?:set|secure|show) (\S+)/,
        text: _("Properties"),
        account: true,
        read: true,
        run: ([, name]) => go("accounts", name),
    },
    {
        command: /emailsecctl (?:account add|setup)/,
        text: _("Add an account"),
        main: true,
        run: () => go("accounts", "+"),
    },
    {
        command: /emailsecctl queue list --state failed/,
        text: _("Failed messages"),
        read: true,
        run: () => go("queue", "failed"),
    },
    { command: /emailsecctl queue (?:list|show)/, text: _("Queue"), read: true, run: () => go("queue") },
    {
        command: /emailsecctl inbox missing (\S+)/,
        text: _("Inbox"),
        account: true,
        read: true,
        run: ([, name]) => go("inbox", name),
    },
    {
        command: /emailsecctl reload/,
        text: _("Reload the settings"),
        run: () => changing(_("Reload"), () => service("Reload", {})),
    },
];

/* The account that a command names: NAME stands for the one at hand. No button acts on another account in place of one
 * that is not there, or where two may be meant: a name may end like a sentence. */
function meant(found, name) {
    const words = new Set([found[1], found[1].replace(/[,;.:)]+$/, "")]);
    if (words.has("NAME")) return name ? [found[0], name] : null;
    const accounts = station.status ? station.status.accounts.map(one => one.name) : [];
    const there = [...words].filter(one => one === name || accounts.includes(one));
    return there.length === 1 ? [found[0], there[0]] : null;
}

/* Buttons for what a remedy says. */
export function remedyButtons(text, name) {
    const made = [];
    remedies.forEach(one => {
        const found = one.command.exec(String(text || ""));
        const words = found && one.account ? meant(found, name) : found;
        if (words && (one.read || station.mayChange))
            made.push([one, button(one.text, () => one.run(words), one.main ? "primary" : "secondary")]);
    });
    return made.sort((a, b) => (b[0].main || 0) - (a[0].main || 0)).map(([, node]) => node);
}

/* A sentence with its buttons. */
export function remedy(text, name, ...more) {
    const buttons = remedyButtons(text, name);
    return [
        text ? el("p", null, text) : null,
        buttons.length || more.length ? el("div", { class: "es-toolbar" }, buttons, more) : null,
    ];
}

/* What to do about an account that is ill, in the words of its cause; one that waits for a decision leads there. */
export function accountRemedy(account, ...more) {
    const text = account.cause ? account.cause.remedy : "";
    const decision =
        account.status === "challenge" && account.challenge
            ? `emailsecctl challenge show ${account.challenge}; `
            : "";
    const [, buttons] = remedy(decision + text, account.name, ...more);
    return [text ? el("p", { class: "es-remedy" }, text) : null, buttons];
}
