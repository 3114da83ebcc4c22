/* SPDX-License-Identifier: MIT */
/* What is known of the station, kept fresh by Monitor: each event has it read again, a lost connection is made
 * anew. Views draw what stands here and hold nothing of it themselves. */
import { service, serviceStream } from "./varlink.js";

const SETTLE = 150; /* ms: events come in crowds */
const PAUSE = 1000; /* ms from one reading to the next, however much happens */
const AGAIN = 3000; /* ms until a lost connection is tried anew */

/* status: of GetStatus; mayChange: false for a reader; error: why nothing is known, or null; live: the stream of events
 * stands. */
export const station = {
    status: null,
    mayChange: false,
    error: null,
    live: false,
};

const drawers = new Set();
const listeners = new Set();
let timer = null;
let reading = false;
let wanted = false;
let last = 0; /* when it was read */

function draw() {
    drawers.forEach(one => one());
}

/* `one` is called after each change of `station`; what comes back ends that. */
export function onChange(one) {
    drawers.add(one);
    return () => drawers.delete(one);
}

/* `one` gets each event of Monitor; what comes back ends that. */
export function onEvent(one) {
    listeners.add(one);
    return () => listeners.delete(one);
}

/* A change of nothing, asked for in earnest: who may not change the station is refused. */
async function askRights() {
    try {
        await service("Apply", { accounts: [], dryRun: true });
        return true;
    } catch (error) {
        if (error.name === "PermissionDenied") return false;
        throw error;
    }
}

async function read() {
    const { status } = await service("GetStatus", {});
    station.status = status;
    station.error = null;
}

/* Reads everything again, once however often it is called meanwhile. */
export async function refresh() {
    wanted = true;
    if (reading) return;
    reading = true;
    try {
        while (wanted) {
            wanted = false;
            last = Date.now();
            try {
                await read();
            } catch (error) {
                station.error = error;
            }
            draw();
        }
    } finally {
        reading = false;
    }
}

/* Nobody looks at a page that is hidden: it is read when it is shown again. */
function soon() {
    if (timer || document.hidden) return;
    timer = setTimeout(
        () => {
            timer = null;
            refresh();
        },
        Math.max(SETTLE, last + PAUSE - Date.now())
    );
}

function heard(reply) {
    station.live = true;
    if (reply.event) listeners.forEach(one => one(reply.event));
    soon();
}

async function follow() {
    for (;;) {
        try {
            station.mayChange = await askRights();
            await serviceStream("Monitor", {}, heard).done;
        } catch (error) {
            station.error = error;
        }
        station.live = false;
        draw();
        await new Promise(resolve => setTimeout(resolve, AGAIN));
    }
}

export function start() {
    document.addEventListener("visibilitychange", soon);
    follow();
}

export function accountNamed(name) {
    return station.status && station.status.accounts.find(one => one.name === name);
}

/* kind: outgoing, incoming. */
export function namesOf(kind) {
    return station.status.accounts.filter(one => one.kind === kind).map(one => one.name);
}
