/* SPDX-License-Identifier: MIT */
/* Received mail: the list of an account, and a message as text. The tool decodes it, with the rights of who is
 * logged in; no HTML of a stranger is drawn, what is HTML only is shown as the text that it is. */
import { el } from "./dom.js";
import { attempt, confirm, openDialog } from "./dialog.js";
import { alert, button, card, choice, filter, label, sheet, table, toolbar } from "./parts.js";
import { liveView, pager, pageStart } from "./live.js";
import { socketPath, tool } from "./settings.js";
import { namesOf, station } from "./station.js";
import { service, VarlinkError } from "./varlink.js";
import { size, when } from "./words.js";

const _ = cockpit.gettext;
const PAGE = 50;
const MOST_TEXT = 200000; /* characters that are drawn */

/* The message as the tool reads it: {from, to, subject, text, attachments}. */
async function decoded(name, id) {
    try {
        const text = await cockpit.spawn(
            [tool, "--socket", socketPath, "--json", "inbox", "show", "--", name, id],
            { superuser: "try", err: "message" }
        );
        return JSON.parse(text);
    } catch (error) {
        throw new VarlinkError("Failed", {
            code: "Failed",
            text: error.message || String(error.problem || error),
            remedy: "",
        });
    }
}

function letter(message) {
    const text = String(message.text || "").replace(/\r/g, "");
    return [
        sheet([
            [_("From"), el("span", { class: "es-peer" }, message.from)],
            [_("To"), el("span", { class: "es-peer" }, message.to)],
            [_("Copy"), el("span", { class: "es-peer" }, message.cc)],
            [_("Date"), message.date],
            [_("Received"), when(message.received)],
            [_("Size"), size(message.size)],
            [
                _("Attachments"),
                (message.attachments || []).map(one =>
                    el("div", { class: "es-peer" }, `${one.name} (${one.type}, ${size(one.size)})`)
                ),
            ],
        ]),
        message.remark ? alert("none", message.remark) : null,
        el(
            "pre",
            { class: "es-letter", tabindex: "0", "aria-label": _("Text of the message") },
            text.slice(0, MOST_TEXT)
        ),
        text.length > MOST_TEXT ? el("p", { class: "es-muted" }, _("There is more of it.")) : null,
    ];
}

async function show(name, row, again) {
    const message = await attempt(_("Message"), () => decoded(name, row.id));
    if (!message) return;
    openDialog(message.subject || _("(no subject)"), el("div", null, letter(message)), [], { wide: true });
    if (station.mayChange && row.seen === false) mark(name, row, true, again);
}

function mark(name, row, seen, again) {
    return attempt(_("Mark"), async () => {
        await service("MarkInboxMessages", { name, ids: [row.id], seen });
        again();
    });
}

function remove(name, row, again) {
    confirm(
        _("Delete this message here?"),
        _("At the server it stays, and it is not fetched again."),
        _("Delete"),
        async () => {
            await service("DeleteInboxMessages", { name, ids: [row.id] });
            again();
        }
    );
}

function rowActions(name, row, again) {
    const about = text => ({ "aria-label": `${text}: ${row.subject || row.id}` });
    return station.mayChange
        ? [
              button(
                  row.seen ? _("Mark as unread") : _("Mark as read"),
                  () => mark(name, row, !row.seen, again),
                  "link",
                  about(_("Mark"))
              ),
              button(_("Delete"), () => remove(name, row, again), "link", about(_("Delete"))),
          ]
        : null;
}

function draw(name, found, view) {
    const { again } = view;
    const rows = [...found.messages].reverse();
    return [
        table(
            _("Inbox"),
            [
                {
                    title: _("Subject"),
                    cell: row => [
                        row.seen === false ? [label(_("new"), "wait"), " "] : null,
                        button(row.subject || _("(no subject)"), () => show(name, row, again), "link"),
                    ],
                },
                { title: _("From"), cell: row => el("span", { class: "es-peer" }, row.from || "") },
                { title: _("Received"), cell: row => when(row.received) },
                { title: _("Size"), class: "es-right", cell: row => size(row.size) },
                { title: _("Actions"), class: "es-actions", cell: row => rowActions(name, row, again) },
            ],
            rows,
            _("No message is here."),
            row => row.id
        ),
        el(
            "p",
            { class: "es-muted" },
            cockpit.format(
                cockpit.ngettext("$0 message in all", "$0 messages in all", found.total),
                found.total
            )
        ),
        pager(found, view, _("Older")),
    ];
}

/* Messages that the server lists and does not hand out. */
function missing(name) {
    const forget = again =>
        attempt(_("Missing messages"), async () => {
            await service("ForgetMissing", { name });
            again();
        });
    return liveView(
        `missing ${name}`,
        () => service("ListMissing", { name }),
        (found, { again }) =>
            found.messages.length
                ? card(
                      _("Listed by the server, and not handed out"),
                      station.mayChange
                          ? toolbar(button(_("Ask for them no more"), () => forget(again)))
                          : null,
                      table(
                          _("Missing messages"),
                          [
                              { title: _("Id"), cell: one => el("span", { class: "es-peer" }, one.id) },
                              { title: _("Folder"), cell: one => one.folder },
                              { title: _("Since"), cell: one => when(one.since) },
                              { title: _("Cause"), cell: one => el("span", { class: "es-peer" }, one.cause) },
                          ],
                          found.messages,
                          "",
                          one => `${one.folder} ${one.id}`
                      )
                  )
                : [],
        ["mail.missing", "mail.received"]
    );
}

/* `path`: the account; without it the first one. */
export function inbox(path) {
    const names = namesOf("incoming");
    const name = names.includes(path[0]) ? path[0] : names[0];
    if (!name) return card(_("Inbox"), el("p", { class: "es-empty" }, _("There is no incoming account.")));
    const account = filter(
        _("Account"),
        choice(
            names.map(one => [one, one]),
            name,
            {
                id: "inbox-account",
                onchange: event => cockpit.location.go(["inbox", event.target.value]),
            }
        )
    );
    return [
        card(
            _("Inbox"),
            toolbar(account),
            liveView(
                `inbox ${name}`,
                view => service("ListInbox", { name, after: pageStart(view), limit: PAGE }),
                (found, view) => draw(name, found, view),
                ["mail.received", "mail.deleted", "mail.left"]
            )
        ),
        missing(name),
    ];
}
