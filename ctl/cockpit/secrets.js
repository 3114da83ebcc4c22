/* SPDX-License-Identifier: MIT */
/* Passwords and other secrets go one way: they are asked for and handed to the daemon, and never shown. */
import { el } from "./dom.js";
import { openDialog } from "./dialog.js";
import { choice, field, textInput } from "./parts.js";
import { refresh } from "./station.js";
import { service } from "./varlink.js";

const _ = cockpit.gettext;

export function askPassword(name) {
    const secret = field(
        _("Which secret"),
        choice(
            [
                ["password", _("password")],
                ["oauthClientSecret", _("OAuth client secret")],
                ["oauthRefreshToken", _("OAuth refresh token")],
            ],
            "password"
        )
    );
    const word = field(
        _("Password"),
        textInput("", { type: "password", autocomplete: "new-password", autofocus: true })
    );
    const credential = field(
        _("Or the name of a credential of the service"),
        textInput(""),
        _("LoadCredential= of the unit; the password then lies outside the state folder.")
    );
    const save = async () => {
        const given = word.input.value;
        const named = credential.input.value.trim();
        word.say(given || named ? "" : _("A password is needed, or a credential."));
        if (!given && !named) return false;
        word.say(given && named ? _("Either a password or a credential, not both.") : "");
        if (given && named) return false;
        await service("SetPassword", {
            name,
            secret: secret.input.value,
            password: given || undefined,
            credential: named || undefined,
        });
        word.input.value = "";
        refresh();
        return true;
    };
    const clear = async () => {
        await service("SetPassword", { name, secret: secret.input.value, clear: true });
        refresh();
    };
    openDialog(
        cockpit.format(_("Password of $0"), name),
        el("div", null, word.row, secret.row, credential.row),
        [
            { text: _("Save"), run: save },
            { text: _("Forget it"), kind: "danger", run: clear },
        ]
    );
}
