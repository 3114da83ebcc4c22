/* SPDX-License-Identifier: MIT */
/* Certificates: those to decide about, the Allowed Hosts, the trust stores, and what the servers show. */
import { el } from "./dom.js";
import { changing, confirm } from "./dialog.js";
import { button, card, fingerprint, label, table, toolbar } from "./parts.js";
import { decide } from "./challenge.js";
import { liveView } from "./live.js";
import { endLabel, keyStore, userStore } from "./stores.js";
import { station } from "./station.js";
import { trust } from "./varlink.js";
import { hostState, hostTint, when } from "./words.js";

const _ = cockpit.gettext;

function place(entry) {
    return `${entry.host}:${entry.port}`;
}

function challenges(hosts) {
    const open = hosts.filter(one => one.state === "pending" && !one.needless);
    return card(
        _("Challenges"),
        table(
            _("Challenges"),
            [
                { title: _("Server"), cell: one => place(one) },
                { title: _("Accounts"), cell: one => one.accounts.join(", ") },
                { title: _("Since"), cell: one => when(one.created) },
                {
                    title: _("What is wrong"),
                    cell: one =>
                        el("span", { class: "es-peer" }, one.errors.map(error => error.text).join("; ")),
                },
                {
                    title: _("Actions"),
                    class: "es-actions",
                    cell: one =>
                        button(station.mayChange ? _("Decide") : _("Show"), () => decide(one.id), "primary", {
                            "aria-label": cockpit.format(
                                station.mayChange ? _("Decide about $0") : _("Show $0"),
                                place(one)
                            ),
                        }),
                },
            ],
            open,
            _("No certificate waits for a decision."),
            one => one.id
        )
    );
}

function prune() {
    return changing(_("Prune"), () => trust("Prune", {}));
}

function unapprove(entry) {
    confirm(
        cockpit.format(_("Take back the approval of $0?"), place(entry)),
        _("Its accounts stop until somebody decides anew, unless the server verifies without it."),
        _("Unapprove"),
        () => trust("Unapprove", { id: entry.id })
    );
}

function remove(entry) {
    confirm(
        cockpit.format(_("Delete the entry of $0?"), place(entry)),
        _("When the server shows this certificate again, somebody is asked again."),
        _("Delete"),
        () => trust("DeleteAllowedHost", { id: entry.id })
    );
}

function hostActions(entry) {
    const named = (text, run) => button(text, run, "link", { "aria-label": `${text}: ${place(entry)}` });
    return [
        named(_("Show"), () => decide(entry.id)),
        station.mayChange && entry.state === "rejected" ? named(_("Approve"), () => decide(entry.id)) : null,
        station.mayChange && entry.state === "approved"
            ? named(_("Unapprove"), () => unapprove(entry))
            : null,
        station.mayChange ? named(_("Delete"), () => remove(entry)) : null,
    ];
}

function allowedHosts(hosts) {
    const rows = hosts.filter(one => one.state !== "pending" || one.needless);
    const needless = hosts.filter(one => one.needless).length;
    return card(
        _("Allowed Hosts"),
        needless && station.mayChange
            ? toolbar(
                  button(
                      cockpit.format(
                          cockpit.ngettext(
                              "Prune $0 that is no longer needed",
                              "Prune $0 that are no longer needed",
                              needless
                          ),
                          needless
                      ),
                      () => prune(),
                      "primary"
                  )
              )
            : null,
        table(
            _("Allowed Hosts"),
            [
                { title: _("Server"), cell: one => place(one) },
                {
                    title: _("State"),
                    cell: one => [
                        label(hostState(one.state), hostTint(one.state)),
                        one.needless ? [" ", label(_("no longer needed"), "none")] : null,
                    ],
                },
                {
                    title: _("Holds for"),
                    cell: one => (one.pins === "key" ? _("the key") : _("the certificate")),
                },
                { title: _("Ends"), cell: one => (one.expires ? when(one.expires) : "–") },
                { title: _("Decided by"), cell: one => one.decidedBy || "–" },
                { title: _("Actions"), class: "es-actions", cell: hostActions },
            ],
            rows,
            _("There are no exemptions: every server verifies without help, or waits for a decision."),
            one => one.id
        )
    );
}

function verifiedBy(word) {
    return (
        {
            system: label(_("System Trust Store"), "good"),
            user: label(_("User Trust Store"), "good"),
            allowedHost: label(_("exemption"), "wait"),
        }[word] || label(_("not accepted"), "bad")
    );
}

function servers(shown) {
    return card(
        _("What the servers show"),
        table(
            _("What the servers show"),
            [
                { title: _("Server"), cell: one => place(one) },
                { title: _("Subject"), cell: one => el("span", { class: "es-peer" }, one.subject) },
                { title: _("Verified by"), cell: one => verifiedBy(one.verifiedBy) },
                { title: _("Ends"), cell: one => endLabel(one.notAfter) },
                {
                    title: _("SHA-256 fingerprint"),
                    cell: one => fingerprint(one.fingerprintSha256),
                },
            ],
            shown,
            _("No account has met a server yet."),
            one => place(one)
        )
    );
}

export function certificates() {
    return [
        liveView(
            "hosts",
            () => trust("ListAllowedHosts", {}),
            ({ entries }) => el("div", { class: "es-stack" }, challenges(entries), allowedHosts(entries)),
            ["account.", "allowed.", "challenge."]
        ),
        userStore(),
        liveView(
            "servers",
            () => trust("ListServerCertificates", {}),
            found => servers(found.certificates),
            ["account.", "allowed.", "challenge.", "certificate.", "trust.", "mail."]
        ),
        keyStore(),
    ];
}
