/* SPDX-License-Identifier: MIT */
/* A certificate in words, alone or beside the one before it. */
import { el } from "./dom.js";
import { fingerprint, label, sheet } from "./parts.js";
import { endWords, when } from "./words.js";

const _ = cockpit.gettext;

/* [name, the value as text, what draws it], in order of how telling they are. */
function rows() {
    return [
        [_("Subject"), one => one.subject],
        [_("Names"), one => (one.subjectAltNames || []).join(", ")],
        [_("Issuer"), one => one.issuer],
        [_("Valid from"), one => when(one.notBefore)],
        [_("Valid until"), one => one.notAfter && `${when(one.notAfter)} (${endWords(one.notAfter)})`],
        [_("Serial number"), one => one.serial],
        [_("Key"), one => [one.keyAlgorithm, one.keySize].filter(Boolean).join(" ")],
        [_("Signature"), one => one.signatureAlgorithm],
        [_("SHA-256 fingerprint"), one => one.fingerprintSha256, fingerprint],
        [_("SHA-256 of the key"), one => one.publicKeySha256, fingerprint],
    ];
}

function value(text, draw) {
    if (!text) return "";
    return draw ? draw(text) : el("span", { class: "es-peer" }, text);
}

export function certificateSheet(certificate) {
    return sheet(rows().map(([name, of, draw]) => [name, value(of(certificate), draw)]));
}

/* What a server shows now beside what it showed before; what differs is marked in words too. */
export function comparison(before, now) {
    const line = ([name, of, draw]) => {
        const differs = of(before) !== of(now);
        return el(
            "tr",
            { class: differs ? "es-differs" : "" },
            el("th", { scope: "row" }, name, differs ? [" ", label(_("differs"), "wait")] : null),
            el("td", { "data-label": _("Before") }, value(of(before), draw)),
            el("td", { "data-label": _("Now") }, value(of(now), draw))
        );
    };
    return el(
        "table",
        { class: "es-table es-comparison", "aria-label": _("The certificate before and now") },
        el(
            "thead",
            null,
            el(
                "tr",
                null,
                el("td"),
                el("th", { scope: "col" }, _("Before")),
                el("th", { scope: "col" }, _("Now"))
            )
        ),
        el("tbody", null, rows().map(line))
    );
}
