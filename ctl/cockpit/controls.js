/* SPDX-License-Identifier: MIT */
/* A control for each property, made from what the daemon says of it: a property that is new there needs no line
 * here. A control is {row, property, value, set, say, focus}; its value is in the form that the daemon takes. */
import { el } from "./dom.js";
import { choice, label, textInput } from "./parts.js";
import { duration, size } from "./words.js";

const _ = cockpit.gettext;

/* A number as the daemon takes it, and as people say it. */
function numberWords(property, number) {
    const said =
        property.unit === "seconds"
            ? duration(number)
            : property.unit === "bytes" && number >= 1024
              ? size(number)
              : "";
    return said ? `${number} (${said})` : String(number);
}

function rangeWords(property) {
    const unit =
        property.unit === "seconds"
            ? _("seconds, or with a unit: 90s, 15m, 30d")
            : property.unit === "bytes"
              ? _("bytes, or with a unit: 500k, 50M")
              : "";
    const range =
        property.type === "int" && typeof property.min === "number" && typeof property.max === "number"
            ? cockpit.format(
                  _("$0 to $1"),
                  numberWords(property, property.min),
                  numberWords(property, property.max)
              )
            : "";
    return [range, unit].filter(Boolean).join("; ");
}

function defaultWords(property) {
    if (property.default === null || property.default === undefined || property.default === "") return "";
    const word =
        property.default === true
            ? _("on")
            : property.default === false
              ? _("off")
              : numberWords(property, property.default);
    return cockpit.format(_("default: $0"), word);
}

/* What a text of a number's control means: digits become a number, "30d" stays what it is. */
function meantBy(property, text) {
    const word = text.trim();
    return (property.type === "int" || property.type === "port") && /^[0-9]+$/.test(word)
        ? Number(word)
        : word;
}

function inputOf(property, id, value, changed) {
    if (property.type === "bool")
        return el("input", {
            type: "checkbox",
            id,
            checked: value === true,
            onchange: changed,
            class: "es-check",
        });
    if (property.type === "word") {
        const words = property.words.map(word => [word, word]);
        if (!property.required && (property.default === "" || property.default === null))
            words.unshift(["", "–"]);
        return choice(words, String(value === null || value === undefined ? "" : value), {
            id,
            onchange: changed,
        });
    }
    return textInput(value, {
        id,
        oninput: changed,
        inputmode: property.type === "int" ? "numeric" : undefined,
        maxlength: property.maxBytes || undefined,
        required: property.required,
    });
}

/* changed() is called when a person has changed it. */
export function control(property, start, changed) {
    const id = `property-${property.name}`;
    const saved = String(start === null || start === undefined ? "" : start);
    const mark = el("span", { class: "es-mark" });
    const problem = el("p", { id: `${id}-problem`, class: "es-problem" });
    const hints = [rangeWords(property), defaultWords(property)].filter(Boolean).join("; ");
    const input = inputOf(property, id, start, () => {
        note();
        changed();
    });
    input.setAttribute("aria-describedby", `${id}-help ${id}-problem`);
    const help = el(
        "p",
        { id: `${id}-help`, class: "es-help" },
        _(property.help),
        hints ? [el("br"), hints] : ""
    );
    const name = el("label", { for: id, class: "es-name" }, property.name);
    const row = el(
        "div",
        { class: "es-field es-property" },
        property.type === "bool"
            ? el("div", { class: "es-check-row" }, input, name, mark)
            : [el("div", { class: "es-label-row" }, name, mark), input],
        help,
        problem
    );
    const isChanged = () => String(value()) !== saved;
    const value = () => (property.type === "bool" ? input.checked : meantBy(property, input.value));
    const isDefault = () =>
        property.default !== null &&
        property.default !== undefined &&
        String(value()) === String(property.default);

    function note() {
        mark.replaceChildren(
            isChanged()
                ? label(_("not saved"), "wait")
                : isDefault()
                  ? el("span", { class: "es-muted" }, _("default"))
                  : ""
        );
    }

    note();
    return {
        row,
        property,
        value,
        isChanged,
        isDefault,
        set: to => {
            if (property.type === "bool") input.checked = to === true;
            else input.value = String(to === null || to === undefined ? "" : to);
            note();
        },
        say: text => {
            problem.textContent = text;
            row.classList.toggle("es-invalid", Boolean(text));
            if (text) input.setAttribute("aria-invalid", "true");
            else input.removeAttribute("aria-invalid");
        },
        focus: () => input.focus(),
    };
}

/* Two properties that exclude each other are one choice of three; `moved` is called with the choice: "ssl",
 * "starttls", "none". It stands for the controls of both, which give their values. */
export function exclusive(first, second, moved) {
    const id = "property-security";
    const problem = el("p", { id: `${id}-problem`, class: "es-problem" });
    const options = [
        ["ssl", `${first.property.name}: ${first.property.help}`],
        ["starttls", `${second.property.name}: ${second.property.help}`],
        ["none", _("neither: nothing is encrypted, and no password is sent unless that is allowed")],
    ];
    const now = () => (first.value() ? "ssl" : second.value() ? "starttls" : "none");
    const inputs = options.map(([word]) =>
        el("input", {
            type: "radio",
            name: "security",
            id: `${id}-${word}`,
            value: word,
            checked: word === now(),
            "aria-describedby": `${id}-problem`,
            onchange: () => {
                first.set(word === "ssl");
                second.set(word === "starttls");
                note();
                moved(word);
            },
        })
    );
    const mark = el("span", { class: "es-mark" });
    const row = el(
        "fieldset",
        { class: "es-field es-property es-exclusive", id },
        el("legend", { class: "es-name" }, _("Security"), " ", mark),
        options.map(([word, text], at) =>
            el("div", { class: "es-check-row" }, inputs[at], el("label", { for: `${id}-${word}` }, text))
        ),
        problem
    );
    const say = text => {
        problem.textContent = text;
        row.classList.toggle("es-invalid", Boolean(text));
    };

    function note() {
        inputs.forEach(one => {
            one.checked = one.value === now();
        });
        mark.replaceChildren(
            first.isChanged() || second.isChanged()
                ? label(_("not saved"), "wait")
                : first.isDefault() && second.isDefault()
                  ? el("span", { class: "es-muted" }, _("default"))
                  : ""
        );
    }

    note();
    [first, second].forEach(one => {
        const { set } = one;
        one.set = to => {
            set(to);
            note();
        };
        one.say = say;
        one.focus = () => inputs.find(input => input.checked).focus();
    });
    return row;
}
