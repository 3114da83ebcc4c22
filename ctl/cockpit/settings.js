/* SPDX-License-Identifier: MIT */
/* What the manifest says: where the socket is, how the tool is called, which unit's journal is shown. An
 * administrator changes it in /etc/cockpit/emailsec.override.json; nothing in a link or in the page can. */
const manifest = (cockpit.manifests && cockpit.manifests.emailsec) || {};

function word(name, fallback) {
    return typeof manifest[name] === "string" && manifest[name] ? manifest[name] : fallback;
}

export const socketPath = word("socket", "/run/emailsecd/io.emailsec");
export const tool = word("tool", "emailsecctl");
export const journalUnit = word("journal-unit", "emailsecd.service");
