/* SPDX-License-Identifier: MIT */
/* A part of a view that reads for itself what is not in `station`, and reads it again when something happens. */
import { el, morph, own } from "./dom.js";
import { failure } from "./parts.js";
import { onChange, onEvent, station } from "./station.js";

const _ = cockpit.gettext;
const SETTLE = 200; /* ms */
const PAUSE = 1000; /* ms from one reading to the next, however much happens */

/* `read` gives a promise, `draw` nodes of what it gave and a function that reads again; `events`: beginnings of the
 * names of events after which it does so by itself, `pause` ms after the last time at the earliest. */
export function liveView(key, read, draw, events, pause = PAUSE) {
    return own(key, () => {
        const node = el(
            "div",
            { class: "es-live" },
            el("p", { class: "es-empty", role: "status" }, _("Reading…"))
        );
        let found = null;
        let timer = null;
        let turn = 0;
        let last = 0;
        let live = station.live;
        const show = () => morph(node, el("div", null, draw(found, again)));
        const again = async () => {
            const mine = ++turn;
            last = Date.now();
            try {
                const got = await read();
                if (mine !== turn) return;
                found = got;
                show();
            } catch (error) {
                if (mine !== turn) return;
                morph(node, el("div", null, failure(error)));
            }
        };
        const endEvents = onEvent(event => {
            if (!node.isConnected) {
                endEvents();
            } else if (events.some(start => event.event.startsWith(start)) && !timer) {
                timer = setTimeout(
                    () => {
                        timer = null;
                        again();
                    },
                    Math.max(SETTLE, last + pause - Date.now())
                );
            }
        });
        /* what happened while the connection was lost, no event told */
        const endChanges = onChange(() => {
            const back = station.live && !live;
            live = station.live;
            if (!node.isConnected) endChanges();
            else if (back) again();
            else if (found) show();
        });
        again();
        return node;
    });
}
