/* SPDX-License-Identifier: MIT */
/* The trust stores: certificates of issuers, imported by file; and the certificates that this station shows. */
import { el } from "./dom.js";
import { attempt, confirm, openDialog } from "./dialog.js";
import { button, card, field, fingerprint, label, table, textInput, toolbar } from "./parts.js";
import { certificateSheet } from "./certificate.js";
import { liveView } from "./live.js";
import { refresh, station } from "./station.js";
import { trust } from "./varlink.js";
import { daysLeft, endWords, when } from "./words.js";

const _ = cockpit.gettext;
const MOST_BYTES = 4 * 1024 * 1024;

/* The bytes of a file that the browser was given, as base64. */
async function base64Of(file) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    return cockpit.base64_encode(bytes);
}

function fileField(text, accept, help) {
    return field(text, el("input", { type: "file", accept, class: "es-input", autofocus: true }), help);
}

/* The file that was chosen, or null, and then the field says why. */
function chosen(wish) {
    const file = wish.input.files[0];
    wish.say(!file ? _("Choose a file.") : file.size > MOST_BYTES ? _("The file is too large.") : "");
    return file && file.size <= MOST_BYTES ? file : null;
}

function importResult(one) {
    const words = {
        imported: [_("imported"), "good"],
        present: [_("was there already"), "none"],
        expired: [_("has ended"), "bad"],
        refused: [_("refused"), "bad"],
    };
    const [text, tint] = words[one.result] || [String(one.result), "none"];
    return el(
        "li",
        null,
        label(text, tint),
        " ",
        el("span", { class: "es-peer" }, one.subject || ""),
        " ",
        one.text || ""
    );
}

/* Asks for a file with certificates; what became of each is shown. */
export function importCertificates() {
    const file = fileField(
        _("File with certificates"),
        ".pem,.crt,.cer,.der,.p7b,.p7c",
        _(
            "PEM, DER or PKCS#7. Every server whose certificate was issued by it is trusted from then on: import what comes from your own CA, by a way that you trust."
        )
    );
    const place = el("ul", {
        class: "es-results",
        "aria-live": "polite",
        "aria-label": _("What was imported"),
    });
    openDialog(
        _("Import certificates into the User Trust Store"),
        [file.row, place],
        [
            {
                text: _("Import"),
                run: async () => {
                    const given = chosen(file);
                    if (!given) return false;
                    const { results } = await trust("ImportAnchors", { certificates: await base64Of(given) });
                    place.replaceChildren(...results.map(importResult));
                    refresh();
                    return results.length > 0 && results.every(one => one.result === "imported");
                },
            },
        ],
        { wide: true }
    );
}

function showAnchor(anchor) {
    openDialog(_("Certificate of an issuer"), certificateSheet(anchor.certificate), [], { wide: true });
}

function deleteAnchor(anchor) {
    confirm(
        _("Delete this certificate?"),
        cockpit.format(
            _("Servers whose certificates $0 issued are verified by it no longer."),
            anchor.certificate.subject
        ),
        _("Delete"),
        () => trust("DeleteAnchor", { fingerprint: anchor.fingerprintSha256 })
    );
}

export function endLabel(time) {
    const days = daysLeft(time);
    return el(
        "span",
        { title: when(time) },
        label(endWords(time), days < 0 ? "bad" : days < 30 ? "wait" : "good")
    );
}

function anchorTable(caption, anchors, none, mayDelete) {
    return table(
        caption,
        [
            { title: _("Subject"), cell: one => el("span", { class: "es-peer" }, one.certificate.subject) },
            { title: _("Ends"), cell: one => endLabel(one.certificate.notAfter) },
            {
                title: _("SHA-256 fingerprint"),
                cell: one => fingerprint(one.fingerprintSha256),
            },
            {
                title: _("Actions"),
                class: "es-actions",
                cell: one => [
                    button(_("Show"), () => showAnchor(one), "link", {
                        "aria-label": cockpit.format(_("Show $0"), one.certificate.subject),
                    }),
                    mayDelete
                        ? button(_("Delete"), () => deleteAnchor(one), "link", {
                              "aria-label": cockpit.format(_("Delete $0"), one.certificate.subject),
                          })
                        : null,
                ],
            },
        ],
        anchors,
        none,
        one => one.fingerprintSha256
    );
}

async function showSystemStore() {
    const found = await attempt(_("System Trust Store"), () => trust("ListAnchors", { system: true }));
    if (found)
        openDialog(
            _("System Trust Store"),
            anchorTable(
                _("System Trust Store"),
                found.anchors.filter(one => one.store === "system"),
                _("It is empty."),
                false
            ),
            [],
            { wide: true }
        );
}

export function userStore() {
    return liveView(
        "anchors",
        () => trust("ListAnchors", {}),
        found =>
            card(
                _("User Trust Store"),
                toolbar(
                    station.mayChange
                        ? button(_("Import a certificate"), () => importCertificates(), "primary")
                        : null,
                    button(_("System Trust Store"), () => showSystemStore())
                ),
                anchorTable(
                    _("User Trust Store"),
                    found.anchors.filter(one => one.store === "user"),
                    _("No certificate was imported: the system's trust store alone counts."),
                    station.mayChange
                )
            ),
        ["trust."]
    );
}

/* ---- certificates that this station shows ---- */

function importKey() {
    const name = field(_("Name"), textInput("", { autofocus: true }));
    const file = fileField(
        _("File with certificate and private key"),
        ".pem",
        _("PEM, the key without a passphrase. The key does not come back.")
    );
    openDialog(
        _("Import a client certificate"),
        [name.row, file.row],
        [
            {
                text: _("Import"),
                run: async () => {
                    name.say(name.input.value.trim() ? "" : _("A name is needed."));
                    const given = chosen(file);
                    if (!given || !name.input.value.trim()) return false;
                    await trust("ImportKey", { name: name.input.value.trim(), key: await base64Of(given) });
                    return true;
                },
            },
        ]
    );
}

export function keyStore() {
    const remove = one =>
        confirm(
            cockpit.format(_("Delete the client certificate $0?"), one.name),
            _("Its private key is deleted too."),
            _("Delete"),
            () => trust("DeleteKey", { name: one.name })
        );
    return liveView(
        "keys",
        () => trust("ListKeys", {}),
        found =>
            card(
                _("Client certificates"),
                station.mayChange ? toolbar(button(_("Import"), () => importKey())) : null,
                table(
                    _("Client certificates"),
                    [
                        { title: _("Name"), cell: one => one.name },
                        {
                            title: _("Subject"),
                            cell: one =>
                                el(
                                    "span",
                                    { class: "es-peer" },
                                    one.fault || (one.certificate && one.certificate.subject)
                                ),
                        },
                        {
                            title: _("Ends"),
                            cell: one => (one.certificate ? endLabel(one.certificate.notAfter) : ""),
                        },
                        {
                            title: _("Actions"),
                            class: "es-actions",
                            cell: one =>
                                station.mayChange
                                    ? button(_("Delete"), () => remove(one), "link", {
                                          "aria-label": cockpit.format(_("Delete $0"), one.name),
                                      })
                                    : "",
                        },
                    ],
                    found.keys,
                    _("There is none."),
                    one => one.name
                )
            ),
        ["key."]
    );
}
