/* SPDX-License-Identifier: MIT */
/* Messages of the queue: what can be done with some of them, and one with all that is known of it. `done` is called
 * when something was. */
import { el } from "./dom.js";
import { attempt, changing, confirm, openDialog } from "./dialog.js";
import { button, choice, field, label, sheet, table } from "./parts.js";
import { namesOf, station } from "./station.js";
import { service } from "./varlink.js";
import { messageState, messageTint, size, when } from "./words.js";

const _ = cockpit.gettext;

/* ---- what is done with messages ---- */

function act(title, ids, run, done) {
    return changing(title, async () => {
        const answer = await run(ids);
        const waits = (answer && answer.waiting) || [];
        if (waits.length)
            openDialog(
                title,
                el(
                    "ul",
                    null,
                    waits.map(one => el("li", null, `${one.id}: ${one.waitingFor.text}`))
                ),
                []
            );
        done();
    });
}

function remove(ids, done) {
    confirm(
        cockpit.format(cockpit.ngettext("Delete $0 message?", "Delete $0 messages?", ids.length), ids.length),
        _("What was not sent of them never will be."),
        _("Delete"),
        async () => {
            await service("DeleteMessages", { ids });
            done();
        }
    );
}

function reroute(ids, done) {
    const names = namesOf("outgoing");
    const account = field(
        _("Account"),
        choice(
            names.map(one => [one, one]),
            names[0] || ""
        )
    );
    openDialog(
        cockpit.format(
            cockpit.ngettext(
                "Give $0 message to another account",
                "Give $0 messages to another account",
                ids.length
            ),
            ids.length
        ),
        account.row,
        [
            {
                text: _("Reroute"),
                run: async () => {
                    await service("RerouteMessages", { ids, account: account.input.value });
                    done();
                },
            },
        ]
    );
}

export function actions(ids, done) {
    const none = { disabled: !ids.length };
    return [
        button(
            _("Retry"),
            () => act(_("Retry"), ids, some => service("RetryMessages", { ids: some }), done),
            "secondary",
            none
        ),
        button(
            _("Hold"),
            () => act(_("Hold"), ids, some => service("HoldMessages", { ids: some }), done),
            "secondary",
            none
        ),
        button(
            _("Release"),
            () => act(_("Release"), ids, some => service("ReleaseMessages", { ids: some }), done),
            "secondary",
            none
        ),
        button(_("Reroute"), () => reroute(ids, done), "secondary", none),
        button(_("Delete"), () => remove(ids, done), "danger", none),
    ];
}

/* ---- one message ---- */

function recipientRows(message) {
    return table(
        _("Recipients"),
        [
            { title: _("Recipient"), cell: one => el("span", { class: "es-peer" }, one.address) },
            { title: _("State"), cell: one => label(messageState(one.state), messageTint(one.state)) },
            {
                title: _("Reply"),
                cell: one =>
                    el("span", { class: "es-peer" }, [one.enhancedCode, one.reply].filter(Boolean).join(" ")),
            },
            { title: _("Time"), cell: one => when(one.time) },
        ],
        message.recipients,
        ""
    );
}

function history(message) {
    const rows = message.history || [];
    return rows.length
        ? [
              el("h3", null, _("History")),
              el(
                  "ol",
                  { class: "es-history" },
                  rows.map(one =>
                      el(
                          "li",
                          null,
                          el("span", { class: "es-muted" }, when(one.time)),
                          " ",
                          [one.host, one.tls, one.result].filter(Boolean).join(", ")
                      )
                  )
              ),
          ]
        : null;
}

export async function showMessage(id, done) {
    const found = await attempt(_("Message"), () => service("GetMessage", { id }));
    if (!found) return;
    const { message } = found;
    const dialog = openDialog(
        cockpit.format(_("Message $0"), message.id),
        el(
            "div",
            null,
            station.mayChange
                ? el(
                      "div",
                      {
                          class: "es-toolbar",
                          onclick: event => event.target.closest("button") && dialog.close(),
                      },
                      actions([message.id], done)
                  )
                : null,
            sheet([
                [_("State"), label(messageState(message.state), messageTint(message.state))],
                [_("Waits for"), message.waitingFor && message.waitingFor.text],
                [_("Next attempt"), when(message.nextAttempt)],
                [_("Account"), message.account],
                [_("From"), el("span", { class: "es-peer" }, message.from || "<>")],
                [_("Size"), size(message.size)],
                [_("Handed in"), `${when(message.submitted)}, ${message.submittedBy}`],
                [_("Fails at"), when(message.expires)],
                [_("Attempts"), String(message.attempts)],
                [_("Message-ID"), el("span", { class: "es-peer" }, message.messageId)],
                [_("Priority"), message.priority],
            ]),
            recipientRows(message),
            history(message)
        ),
        [],
        { wide: true }
    );
}
