/* SPDX-License-Identifier: MIT */
/* A part of a view that reads for itself what is not in `station`, and reads it again when something happens. */
import { el, morph, own } from "./dom.js";
import { button, failure, toolbar } from "./parts.js";
import { onChange, onEvent, station } from "./station.js";

const _ = cockpit.gettext;
const SETTLE = 200; /* ms */
const PAUSE = 1000; /* ms from one reading to the next, however much happens */

/* `read(view)` gives a promise, `draw(found, view)` nodes of what it gave; `events`: beginnings of the names of events
 * after which it is read again by itself, `pause` ms after the last time at the earliest. view: {again, show, state,
 * pages}: `again` reads anew, `show` draws what was read; `state` and `pages` are what a person has chosen here, for as
 * long as the address stays. */
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
        const view = { state: {}, pages: [] };
        const show = () => morph(node, el("div", null, draw(found, view)));
        const again = async () => {
            const mine = ++turn;
            last = Date.now();
            try {
                const got = await read(view);
                if (mine !== turn) return;
                found = got;
                show();
            } catch (error) {
                if (mine !== turn) return;
                morph(node, el("div", null, failure(error)));
            }
        };
        Object.assign(view, { again, show });
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

/* Where the page begins that a view shows of a list. */
export function pageStart(view) {
    return view.pages[view.pages.length - 1];
}

/* From page to page; `further`: the word for what comes next. */
export function pager(found, view, further) {
    if (!view.pages.length && !found.next) return null;
    const turn = move => () => {
        move();
        view.again();
    };
    return toolbar(
        button(_("Newer"), turn(() => view.pages.pop()), "secondary", { disabled: !view.pages.length }),
        button(further, turn(() => view.pages.push(found.next)), "secondary", { disabled: !found.next })
    );
}
