/* SPDX-License-Identifier: MIT */
/* Dialogs: the browser's own <dialog>, which keeps the focus inside, gives it back, and closes by Escape. */
import { el, pf } from "./dom.js";
import { button, failure } from "./parts.js";
import { refresh } from "./station.js";

const _ = cockpit.gettext;
let numbers = 0;

/* Opens one: {node, close, fail}. actions: [{text, kind, run}], run may be async; when it does not throw, and gives no
 * false, the dialog closes and the station is read again; what it throws is shown in it. onclose is called at the end,
 * however it came. */
export function openDialog(title, body, actions, more = {}) {
    const id = `dialog-${++numbers}`;
    const trouble = el("div", { class: "es-dialog-trouble" });
    const buttons = [];
    const busy = state =>
        buttons.forEach(one => {
            one.disabled = state;
        });
    const close = () => node.close();
    const fail = error => trouble.replaceChildren(failure(error));

    const start = async run => {
        trouble.replaceChildren();
        busy(true);
        try {
            if ((await run()) !== false) {
                close();
                refresh();
            }
        } catch (error) {
            if (!(more.problem && more.problem(error))) fail(error);
        }
        busy(false);
    };
    (actions || []).forEach(action =>
        buttons.push(button(action.text, () => start(action.run), action.kind || "primary"))
    );
    const form = el(
        "form",
        {
            class: "es-dialog-form",
            novalidate: true,
            onsubmit: event => {
                event.preventDefault();
                if (actions && actions.length && !buttons[0].disabled) start(actions[0].run);
            },
        },
        el("div", { class: "es-dialog-body", tabindex: "0", role: "group", "aria-labelledby": id }, body),
        trouble,
        el(
            "div",
            { class: "es-dialog-foot" },
            buttons,
            button(actions && actions.length ? _("Cancel") : _("Close"), close, "link")
        )
    );
    const node = el(
        "dialog",
        { class: `es-dialog${more.wide ? " es-wide" : ""}`, "aria-labelledby": id },
        el(
            "header",
            { class: "es-dialog-head" },
            el("h2", { id, class: "es-dialog-title" }, title),
            el(
                "button",
                {
                    type: "button",
                    class: pf("c-button m-plain") + " es-close",
                    "aria-label": _("Close"),
                    onclick: close,
                },
                "✕"
            )
        ),
        form
    );
    node.addEventListener("close", () => {
        node.remove();
        if (more.onclose) more.onclose();
    });
    document.body.append(node);
    node.showModal();
    const first =
        more.first === "none"
            ? form.querySelector(".es-dialog-body")
            : form.querySelector("[autofocus], input:not([type=hidden]), select, textarea");
    if (first) first.focus();
    return { node, close, fail };
}

/* Asks before something that cannot be undone; text says what becomes of it. */
export function confirm(title, text, action, run) {
    openDialog(title, el("p", null, text), [{ text: action, kind: "danger", run }]);
}

/* Runs what a button stands for; what goes wrong is shown in a dialog. */
export async function attempt(title, run) {
    try {
        return await run();
    } catch (error) {
        openDialog(title, failure(error), []);
        return null;
    }
}

/* The same where the station is another one afterwards. */
export function changing(title, run) {
    return attempt(title, async () => {
        await run();
        refresh();
    });
}
