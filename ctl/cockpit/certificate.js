/* SPDX-License-Identifier: MIT */
/* A certificate in words, alone or beside the one before it. */
import { el } from "./dom.js";
import { label, sheet } from "./parts.js";
import { digest, endWords, when } from "./words.js";

const _ = cockpit.gettext;

/* In order of how telling they are. */
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
        [_("SHA-256 fingerprint"), one => digest(one.fingerprintSha256), "es-digest"],
        [_("SHA-256 of the key"), one => digest(one.publicKeySha256), "es-digest"],
    ];
}

function value(text, kind) {
    return text ? el("span", { class: kind || "es-peer" }, text) : "";
}

export function certificateSheet(certificate) {
    return sheet(rows().map(([name, of, kind]) => [name, value(of(certificate), kind)]));
}

/* What a server shows now beside what it showed before; what differs is marked in words too. */
export function comparison(before, now) {
    const line = ([name, of, kind]) => {
        const differs = of(before) !== of(now);
        return el(
            "tr",
            { class: differs ? "es-differs" : "" },
            el("th", { scope: "row" }, name, differs ? [" ", label(_("differs"), "wait")] : null),
            el("td", { "data-label": _("Before") }, value(of(before), kind)),
            el("td", { "data-label": _("Now") }, value(of(now), kind))
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
