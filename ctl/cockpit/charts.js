/* SPDX-License-Identifier: MIT */
/* Charts of the last day, drawn from the daemon's own samples: sent, received, deferred, the queue, and how long
 * handshakes take. Each stands with its numbers in words, for those who do not see it. */
import { el } from "./dom.js";
import { card, failure } from "./parts.js";
import { liveView } from "./live.js";
import { service } from "./varlink.js";
import { locale } from "./words.js";

const _ = cockpit.gettext;
const WIDTH = 480;
const HEIGHT = 120;
const BARS = 96; /* of a day: a quarter of an hour each */
const MINUTE = 60000; /* ms */
const PAUSE = 10000; /* ms: a day is much to read */

const sum = rows => rows.reduce((total, one) => total + one, 0);
const most = rows => rows.reduce((top, one) => Math.max(top, one), 0);

/* fold: what several minutes come to. */
function kinds() {
    return [
        {
            key: "sent",
            title: _("Sent"),
            fold: sum,
            total: rows => cockpit.format(_("$0 in this time"), sum(rows)),
        },
        {
            key: "received",
            title: _("Received"),
            fold: sum,
            total: rows => cockpit.format(_("$0 in this time"), sum(rows)),
        },
        {
            key: "deferred",
            title: _("Deferred"),
            fold: sum,
            total: rows => cockpit.format(_("$0 in this time"), sum(rows)),
        },
        {
            key: "queue",
            title: _("Queue"),
            fold: most,
            total: rows =>
                cockpit.format(_("at most $0, now $1"), most(rows), rows.length ? rows[rows.length - 1] : 0),
        },
        {
            key: "handshakeP95",
            title: _("TLS handshakes, ms"),
            fold: most,
            total: rows => cockpit.format(_("95 % took at most $0 ms"), most(rows)),
        },
    ];
}

/* Times in milliseconds, and what came in each of BARS equal parts of the time that the samples cover, an hour at
 * least. */
function parts(samples, kind) {
    const last = new Date(samples[samples.length - 1].time).getTime() + MINUTE;
    const first = Math.min(new Date(samples[0].time).getTime(), last - 60 * MINUTE);
    const step = Math.max(MINUTE, (last - first) / BARS);
    const groups = new Map();
    samples.forEach(one => {
        const at = Math.floor((new Date(one.time).getTime() - first) / step);
        groups.set(at, [...(groups.get(at) || []), one[kind.key] || 0]);
    });
    return {
        first,
        last,
        step,
        values: [...groups.entries()].map(([at, rows]) => ({ at, value: kind.fold(rows) })),
    };
}

function clock(time) {
    return new Date(time).toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit" });
}

function chart(samples, kind) {
    const all = samples.map(one => one[kind.key] || 0);
    const { first, last, step, values } = parts(samples, kind);
    const top = most(values.map(one => one.value));
    const count = Math.max(1, Math.ceil((last - first) / step));
    const width = WIDTH / count;
    const text = kind.total(all);
    const bars = values
        .filter(one => one.value > 0)
        .map(one => {
            const high = Math.max(2, (one.value / top) * HEIGHT);
            return el(
                "rect",
                {
                    class: "es-bar",
                    x: (one.at * width).toFixed(2),
                    y: (HEIGHT - high).toFixed(2),
                    width: Math.max(1, width - 0.6).toFixed(2),
                    height: high.toFixed(2),
                },
                el("title", null, `${clock(first + one.at * step)}: ${one.value}`)
            );
        });
    return el(
        "figure",
        { class: "es-chart", "data-key": kind.key },
        el("figcaption", null, el("strong", null, kind.title), el("span", { class: "es-muted" }, text)),
        el(
            "svg",
            {
                viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
                preserveAspectRatio: "none",
                role: "img",
                "aria-label": `${kind.title}: ${text}`,
            },
            el("line", { class: "es-axis", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
            bars
        ),
        el(
            "div",
            { class: "es-scale", "aria-hidden": "true" },
            el("span", null, clock(first)),
            el("span", null, top ? cockpit.format(_("highest: $0"), top) : ""),
            el("span", null, clock(last))
        )
    );
}

export function charts() {
    return liveView(
        "charts",
        async () => {
            try {
                return await service("GetHistory", {});
            } catch (error) {
                return { error, samples: [] };
            }
        },
        found => {
            if (found.error) return card(_("The last day"), failure(found.error));
            if (!found.samples.length)
                return card(
                    _("The last day"),
                    el("p", { class: "es-empty" }, _("There are no samples yet."))
                );
            return card(
                _("The last day"),
                el(
                    "div",
                    { class: "es-charts" },
                    kinds().map(kind => chart(found.samples, kind))
                )
            );
        },
        ["mail.sent", "mail.received", "mail.deferred", "mail.failed", "queue."],
        PAUSE
    );
}
