/* SPDX-License-Identifier: MIT */
/* The challenge: what a server showed, what is wrong with it in words, what it showed before, the better remedy
 * first; an approval names what it approves by its fingerprint, and the errors that were shown; there is no bare
 * yes. */
import { el } from "./dom.js";
import { attempt, openDialog } from "./dialog.js";
import { alert, button, choice, field, hintList, label, sheet, textInput } from "./parts.js";
import { certificateSheet, comparison } from "./certificate.js";
import { station } from "./station.js";
import { importCertificates } from "./stores.js";
import { trust } from "./varlink.js";
import { hostClass, hostState, hostTint, when } from "./words.js";

const _ = cockpit.gettext;
const LEAST_DIGITS = 16;

/* Hexadecimal digits of what was typed or pasted, with or without colons, blanks, or openssl's "sha256 Fingerprint=";
 * null: it is no fingerprint. */
export function fingerprintOf(text) {
    const digits = text
        .replace(/^.*fingerprint\s*=/i, "")
        .replace(/[\s:]/g, "")
        .toLowerCase();
    return /^[0-9a-f]+$/.test(digits) && digits.length >= LEAST_DIGITS && digits.length <= 64 ? digits : null;
}

function errorList(entry) {
    return el(
        "section",
        { "aria-label": _("What is wrong with it") },
        el("h3", null, _("What is wrong with it")),
        el(
            "ul",
            { class: "es-errors" },
            entry.errors.map(one => el("li", null, label(one.text, "bad")))
        )
    );
}

/* The remedies of the errors, each once; where one is to import a certificate, a button does it. */
function betterWay(entry, leave) {
    const texts = [...new Set(entry.errors.map(one => one.remedy).filter(Boolean))];
    const imports = texts.some(text => text.includes("emailsecctl trust import"));
    return el(
        "section",
        { class: "es-better", "aria-label": _("The better remedy") },
        el("h3", null, _("1. The better remedy")),
        hintList(texts),
        imports
            ? el(
                  "p",
                  null,
                  _(
                      "Import the certificate of its issuer: then this server, and every other of that issuer, is verified without an exemption."
                  )
              )
            : null,
        imports && station.mayChange
            ? button(
                  _("Import a certificate"),
                  () => {
                      leave();
                      importCertificates();
                  },
                  "primary"
              )
            : null
    );
}

function about(entry) {
    return sheet([
        [_("Server"), `${entry.host}:${entry.port}`],
        [_("State"), label(hostState(entry.state), hostTint(entry.state))],
        [_("Accounts"), entry.accounts.join(", ")],
        [_("Since"), when(entry.created)],
        [_("Decided"), entry.decided && `${when(entry.decided)}, ${entry.decidedBy || ""}`],
        [_("Reason"), entry.reason],
        [_("Ends"), when(entry.expires)],
        [
            _("No longer needed"),
            entry.needless &&
                (entry.needlessBecause === "unused"
                    ? _("no account uses this server")
                    : _("the server verifies without it")),
        ],
    ]);
}

function shown(entry, replaced) {
    return el(
        "section",
        { "aria-label": _("The certificate") },
        el("h3", null, replaced ? _("The certificate before and now") : _("The certificate")),
        replaced ? comparison(replaced.certificate, entry.certificate) : certificateSheet(entry.certificate)
    );
}

/* Fields of an approval, and what they come to: parameters, or null where one of them says what it lacks. */
function approval(entry) {
    const fingerprint = field(
        _("SHA-256 fingerprint, as the server's operator tells it"),
        textInput("", { class: "es-input es-digest-input", autocapitalize: "off" }),
        cockpit.format(
            _(
                "Typed or pasted, $0 hexadecimal digits or more. Get it by another way than mail; on the server: $1"
            ),
            LEAST_DIGITS,
            "openssl x509 -in CERTIFICATE -noout -fingerprint -sha256"
        )
    );
    const pins = field(
        _("It holds for"),
        choice(
            [
                ["certificate", _("this certificate")],
                ["key", _("every certificate with this key")],
            ],
            "certificate"
        ),
        _("For the key, the fingerprint to give is that of the key.")
    );
    const until = field(
        _("Until"),
        el("input", { type: "date", class: "es-input" }),
        _("Empty: without end.")
    );
    const reason = field(_("Reason"), textInput(""));
    const node = el(
        "section",
        { "aria-label": _("2. Or compare, and approve") },
        el("h3", null, _("2. Or compare, and approve")),
        el(
            "p",
            null,
            cockpit.format(
                _("An approval is an exemption for $0, this certificate and these errors, nothing else."),
                `${entry.host}:${entry.port}`
            )
        ),
        fingerprint.row,
        el("div", { class: "es-columns" }, pins.row, until.row, reason.row)
    );
    const values = () => {
        const digits = fingerprintOf(fingerprint.input.value);
        fingerprint.say(
            digits
                ? ""
                : cockpit.format(
                      _("That is no fingerprint: $0 hexadecimal digits or more, “yes” is not enough."),
                      LEAST_DIGITS
                  )
        );
        if (!digits) {
            fingerprint.input.focus();
            return null;
        }
        return {
            digits,
            pins: pins.input.value,
            until: until.input.value ? `${until.input.value}T23:59:59Z` : undefined,
            reason: reason.input.value.trim() || undefined,
        };
    };
    return { node, fingerprint, values };
}

function actionsFor(entry, wish) {
    const { id } = entry;
    const approve = async () => {
        const found = wish.values();
        if (!found) return false;
        await trust("Approve", {
            id,
            fingerprint: found.digits,
            errors: entry.errors.map(one => one.code),
            pins: found.pins,
            until: found.until,
            reason: found.reason,
        });
        return true;
    };
    const actions =
        entry.state === "approved" ? [] : [{ text: _("Approve"), run: approve, kind: "secondary" }];
    if (entry.state !== "rejected")
        actions.push({ text: _("Reject"), kind: "danger", run: () => trust("Reject", { id }) });
    return actions;
}

/* Shows the entry with that id, and asks what shall be where that is open. */
export async function decide(id) {
    const found = await attempt(_("Certificate"), () => trust("GetAllowedHost", { id }));
    if (!found) return;
    const { entry, replaced } = found;
    const open = station.mayChange && entry.state !== "approved";
    const wish = open ? approval(entry) : null;
    const title =
        entry.state === "pending"
            ? cockpit.format(_("Decision about $0"), `${entry.host}:${entry.port}`)
            : cockpit.format(_("Certificate of $0"), `${entry.host}:${entry.port}`);
    const body = el(
        "div",
        null,
        entry.state === "pending" ? alert("wait", hostClass(entry.class)) : null,
        about(entry),
        errorList(entry),
        open ? betterWay(entry, () => dialog.close()) : null,
        shown(entry, replaced),
        open ? wish.node : null
    );
    const problem = error => {
        if (error.name !== "FingerprintMismatch" || !wish) return false;
        wish.fingerprint.say(`${error.cause.text}. ${error.cause.remedy}`);
        wish.fingerprint.input.focus();
        return true;
    };
    const dialog = openDialog(title, body, open ? actionsFor(entry, wish) : [], {
        wide: true,
        problem,
        first: "none",
    });
}
