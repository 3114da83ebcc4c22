/* SPDX-License-Identifier: MIT */
/* Passwords and other secrets go one way: they are asked for and handed to the daemon, and never shown. */
import { el } from "./dom.js";
import { describe } from "./describe.js";
import { attempt, openDialog } from "./dialog.js";
import { alert, choice, field, textInput } from "./parts.js";
import { service } from "./varlink.js";

const _ = cockpit.gettext;

/* Saved, and what the daemon has to say about it all the same. */
async function save(name, values) {
    const { warning } = await service("SetPassword", {
        name,
        secret: values.secret,
        password: values.password,
        credential: values.credential,
        clear: values.clear,
    });
    if (warning)
        openDialog(
            cockpit.format(_("Password of $0"), name),
            alert("wait", warning.text, el("p", null, warning.remedy)),
            []
        );
}

export async function askPassword(name) {
    const description = await attempt(_("Password"), describe);
    if (!description) return;
    const secret = field(
        _("Which secret"),
        choice(
            description.secrets.map(one => [one.name, `${one.name}: ${_(one.help)}`]),
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
    const keep = async () => {
        const given = word.input.value;
        const named = credential.input.value.trim();
        word.say(given || named ? "" : _("A password is needed, or a credential."));
        if (!given && !named) return false;
        word.say(given && named ? _("Either a password or a credential, not both.") : "");
        if (given && named) return false;
        await save(name, {
            secret: secret.input.value,
            password: given || undefined,
            credential: named || undefined,
        });
        word.input.value = "";
        return true;
    };
    const clear = () => save(name, { secret: secret.input.value, clear: true });
    openDialog(
        cockpit.format(_("Password of $0"), name),
        el("div", null, word.row, secret.row, credential.row),
        [
            { text: _("Save"), run: keep },
            { text: _("Forget it"), kind: "danger", run: clear },
        ]
    );
}
