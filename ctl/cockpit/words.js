/* SPDX-License-Identifier: MIT */
/* Words for states, times, sizes; which state is worse than which. */
const _ = cockpit.gettext;

/* Worst first; what is not known here comes before those that work. */
const ORDER = ["challenge", "fault", "down", "", "connecting", "ok", "disabled"];

export function statusWords(status) {
    return (
        {
            challenge: _("decision needed"),
            fault: _("fault"),
            down: _("down"),
            connecting: _("connecting"),
            ok: _("works"),
            disabled: _("disabled"),
        }[status] || String(status)
    );
}

export function tintOf(status) {
    return (
        { challenge: "bad", fault: "bad", down: "wait", connecting: "none", ok: "good", disabled: "none" }[
            status
        ] || "none"
    );
}

export function isIll(status) {
    return ["challenge", "fault", "down"].includes(status);
}

function rank(status) {
    return ORDER.includes(status) ? ORDER.indexOf(status) : ORDER.indexOf("");
}

export function worstFirst(accounts) {
    return [...accounts].sort((a, b) => rank(a.status) - rank(b.status) || a.name.localeCompare(b.name));
}

export function messageState(state) {
    return (
        {
            queued: _("queued"),
            sending: _("sending"),
            deferred: _("deferred"),
            held: _("held"),
            ambiguous: _("ambiguous"),
            sent: _("sent"),
            failed: _("failed"),
        }[state] || String(state)
    );
}

export function messageTint(state) {
    return (
        { failed: "bad", deferred: "wait", ambiguous: "wait", held: "wait", sent: "good" }[state] || "none"
    );
}

export function hostState(state) {
    return (
        { pending: _("undecided"), approved: _("approved"), rejected: _("rejected") }[state] || String(state)
    );
}

export function hostTint(state) {
    return { pending: "wait", approved: "good", rejected: "bad" }[state] || "none";
}

export function hostClass(word) {
    return (
        {
            new: _("No certificate of this server was known before."),
            changed: _("This server showed another certificate before, which was approved."),
            regression: _("This server's certificate could be verified before, and no longer can."),
        }[word] || String(word)
    );
}

export function security(account) {
    if (account.useSsl) return "TLS";
    return account.useStartTls ? "STARTTLS" : _("none");
}

/* The language of the page, for dates and numbers. */
export function locale() {
    return cockpit.language ? cockpit.language.replace("_", "-") : undefined;
}

export function when(time) {
    if (!time) return "";
    const date = new Date(time);
    return isNaN(date)
        ? String(time)
        : date.toLocaleString(locale(), { dateStyle: "medium", timeStyle: "short" });
}

/* "12 days", for the end of a certificate; below 0: it has ended. */
export function daysLeft(time) {
    return Math.floor((new Date(time) - Date.now()) / 86400000);
}

export function endWords(time) {
    if (!time) return "";
    const days = daysLeft(time);
    if (days < 0) return _("ended");
    return cockpit.format(cockpit.ngettext("$0 day left", "$0 days left", days), days);
}

export function size(bytes) {
    if (typeof bytes !== "number") return "";
    const units = ["B", "KiB", "MiB", "GiB"];
    let at = 0;
    while (bytes >= 1024 && at < units.length - 1) {
        bytes /= 1024;
        at++;
    }
    return `${at ? bytes.toFixed(1) : bytes} ${units[at]}`;
}

/* "1d", as people write so many seconds; "" where no unit divides them. */
export function duration(seconds) {
    const [word, length] =
        [
            ["d", 86400],
            ["h", 3600],
            ["m", 60],
        ].find(([, long]) => seconds >= long && seconds % long === 0) || [];
    return word ? `${seconds / length}${word}` : "";
}

/* Colons between the bytes, as people compare them. */
export function digest(hex) {
    return String(hex || "")
        .toUpperCase()
        .replace(/(..)(?=.)/g, "$1:");
}

/* How many wait to be sent. */
export function waiting(queue) {
    const counts = queue || {};
    return ["queued", "sending", "deferred", "held", "ambiguous"].reduce(
        (sum, state) => sum + (counts[state] || 0),
        0
    );
}
