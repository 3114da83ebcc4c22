/* SPDX-License-Identifier: MIT */
/* The page: its head with the parts to go to, and the part that the address names. Drawn again whenever the
 * station changes; what stands already stays in place. */
import { announce, el, morph } from "./dom.js";
import { alert, failure, label } from "./parts.js";
import { accountsTable } from "./accounts.js";
import { accountView } from "./account.js";
import { certificates } from "./certificates.js";
import { inbox } from "./inbox.js";
import { log } from "./log.js";
import { overview } from "./overview.js";
import { queue } from "./queue.js";
import { onChange, start, station } from "./station.js";
import { followStyle } from "./style.js";
import { isIll, locale } from "./words.js";

const _ = cockpit.gettext;

/* A part: the word in the address, its name, what draws it (of the rest of the address, and its options), how many need
 * attention. */
const parts = [
    { word: "overview", text: _("Overview"), draw: overview },
    {
        word: "accounts",
        text: _("Accounts"),
        draw: path => (path.length ? accountView(path[0]) : accountsTable()),
        count: () => station.status.accounts.filter(one => isIll(one.status)).length,
    },
    {
        word: "certificates",
        text: _("Certificates"),
        draw: certificates,
        count: () => station.status.challenges,
    },
    { word: "queue", text: _("Queue"), draw: queue, count: () => station.status.queue.failed },
    { word: "inbox", text: _("Inbox"), draw: inbox },
    { word: "log", text: _("Log"), draw: log },
];

function current() {
    const [word, ...rest] = cockpit.location.path;
    return { part: parts.find(one => one.word === word) || parts[0], rest, options: cockpit.location.options };
}

/* A daemon of another version may lack what is drawn: that part says so, and the page goes on. */
function drawn(made, instead) {
    try {
        return made();
    } catch (error) {
        return instead(error);
    }
}

function navigation(part) {
    return el(
        "nav",
        { class: "es-nav", "aria-label": _("Parts of the mail station") },
        el(
            "ul",
            null,
            parts.map(one => {
                const count = station.status && one.count ? drawn(one.count, () => 0) : 0;
                return el(
                    "li",
                    null,
                    el(
                        "a",
                        { href: `#/${one.word}`, "aria-current": one === part ? "page" : undefined },
                        one.text,
                        count ? el("span", { class: "es-count" }, count) : null
                    )
                );
            })
        )
    );
}

function head() {
    const reader = station.status && !station.mayChange;
    return el(
        "header",
        { class: "es-head" },
        el(
            "h1",
            null,
            _("Mail station"),
            station.status ? el("span", { class: "es-muted es-host" }, station.status.hostname) : null
        ),
        station.live ? null : label(_("not connected"), "wait"),
        reader ? label(_("read only"), "none") : null
    );
}

function body({ part, rest, options }) {
    const content = () => drawn(() => part.draw(rest, options), failure);
    if (station.error && (!station.status || !station.live))
        return [failure(station.error), station.status ? content() : null];
    if (!station.status) return el("p", { class: "es-empty", role: "status" }, _("Reading…"));
    return [
        station.mayChange
            ? null
            : alert(
                  "none",
                  _(
                      "You may look, not change: you are not in the group emailsec-admin and have no administrative access."
                  )
              ),
        content(),
    ];
}

/* A filter that changes the address has the focus still where its view was made anew. */
function keepFocus(id) {
    const control = id && document.activeElement === document.body ? document.getElementById(id) : null;
    if (control) control.focus();
}

let shown = "";

function draw() {
    const where = current();
    const page = document.getElementById("page");
    const made = el(
        "div",
        null,
        head(),
        navigation(where.part),
        el(
            "main",
            { id: "main", tabindex: "-1", "aria-label": where.part.text, "data-key": cockpit.location.href },
            body(where)
        )
    );
    const focused = document.activeElement ? document.activeElement.id : "";
    morph(page, made);
    keepFocus(focused);
    document.title = `${where.part.text} – ${_("Mail station")}`;
    if (shown && shown !== cockpit.location.href) {
        announce(where.part.text);
        window.scrollTo(0, 0);
    }
    shown = cockpit.location.href;
}

function begin() {
    document.documentElement.lang = locale() || "en";
    followStyle();
    onChange(draw);
    cockpit.addEventListener("locationchanged", draw);
    const permission = cockpit.permission({ admin: true });
    let before = null;
    permission.addEventListener("changed", () => {
        if (before !== null && before !== permission.allowed) window.location.reload();
        before = permission.allowed;
    });
    draw();
    start();
}

begin();
