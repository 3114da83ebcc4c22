/* SPDX-License-Identifier: MIT */
/* The parts that views are made of: buttons, labels, tables, alerts, sheets. */
import { el, pf } from "./dom.js";
import { digest, statusWords, tintOf } from "./words.js";

const _ = cockpit.gettext;

/* kind: primary, secondary, danger, link. */
export function button(text, onclick, kind = "secondary", more = {}) {
    return el("button", { type: "button", class: pf(`c-button m-${kind}`), onclick, ...more }, text);
}

const SIGNS = { bad: "✖", wait: "▲", good: "✔", none: "●" };

/* A word of state: its tint is never all that tells. */
export function label(text, tint) {
    return el(
        "span",
        { class: `es-label es-${tint}` },
        el("span", { "aria-hidden": "true", class: "es-sign" }, SIGNS[tint] || SIGNS.none),
        text
    );
}

export function statusLabel(status) {
    return label(statusWords(status), tintOf(status));
}

/* A fingerprint; a line ends between its bytes only. */
export function fingerprint(hex) {
    const bytes = digest(hex).split(/(?<=:)/);
    return el(
        "span",
        { class: "es-digest" },
        bytes.map((byte, at) => [at ? el("wbr") : null, byte])
    );
}

/* tint: bad, wait, good, none. */
export function alert(tint, title, ...children) {
    const words = { bad: _("Fault:"), wait: _("Warning:"), good: _("Done:"), none: _("Note:") };
    return el(
        "div",
        { class: `es-alert es-alert-${tint}` },
        el(
            "p",
            { class: "es-alert-title" },
            el("span", { "aria-hidden": "true", class: "es-sign" }, SIGNS[tint]),
            el("span", { class: "es-hidden" }, words[tint] + " "),
            title
        ),
        children
    );
}

/* What failed, in words, with what to do. */
export function failure(error) {
    const cause = error.cause || { text: String(error.message || error), remedy: "" };
    const node = alert("bad", cause.text, cause.remedy && el("p", null, cause.remedy));
    node.setAttribute("role", "alert");
    return node;
}

export function card(title, ...children) {
    return el(
        "section",
        { class: pf("c-card") + " es-card", "aria-label": title },
        el("h2", { class: pf("c-card__title") + " es-card-title" }, title),
        el("div", { class: pf("c-card__body") + " es-card-body" }, children)
    );
}

/* Commands above a table or sheet. */
export function toolbar(...children) {
    return el("div", { class: "es-toolbar" }, children);
}

/* A control above a list, that says what is shown of it. */
export function filter(text, control) {
    return el("label", { class: "es-filter" }, el("span", null, text), control);
}

/* columns: [{title, cell: row => node or text, class}]. On a narrow screen each row is a block of its own, where
 * each cell says of what it is. key: row => text that stays with it. */
export function table(caption, columns, rows, none, key) {
    if (!rows.length) return el("p", { class: "es-empty" }, none);
    const head = el(
        "tr",
        { role: "row" },
        columns.map(column =>
            el("th", { scope: "col", role: "columnheader", class: column.class }, column.title)
        )
    );
    const line = row =>
        el(
            "tr",
            { role: "row", "data-key": key ? key(row) : undefined },
            columns.map((column, at) =>
                el(
                    at === 0 ? "th" : "td",
                    {
                        scope: at === 0 ? "row" : undefined,
                        role: at === 0 ? "rowheader" : "cell",
                        class: column.class,
                        "data-label": column.title,
                    },
                    el("div", { class: "es-cell" }, column.cell(row))
                )
            )
        );
    return el(
        "table",
        { class: pf("c-table m-compact") + " es-table", role: "grid", "aria-label": caption },
        el("thead", { role: "rowgroup" }, head),
        el("tbody", { role: "rowgroup" }, rows.map(line))
    );
}

function isEmpty(value) {
    if (Array.isArray(value)) return value.every(isEmpty);
    return value instanceof Node ? !value.textContent : !value && value !== 0;
}

/* rows: [[label, value]]; empty values are left out. */
export function sheet(rows) {
    const shown = rows.filter(([, value]) => !isEmpty(value));
    return el(
        "dl",
        { class: "es-sheet" },
        shown.map(([name, value]) =>
            el("div", { class: "es-sheet-row" }, el("dt", null, name), el("dd", null, value))
        )
    );
}

let numbers = 0;

/* A labelled control: {row, input, say}; say(text) shows what is wrong with it, "" that nothing is. */
export function field(text, input, help) {
    const id = input.id || `field-${++numbers}`;
    input.id = id;
    const problem = el("p", { id: `${id}-problem`, class: "es-problem" });
    const about = help ? el("p", { id: `${id}-help`, class: "es-help" }, help) : null;
    input.setAttribute("aria-describedby", `${help ? `${id}-help ` : ""}${id}-problem`);
    const row = el("div", { class: "es-field" }, el("label", { for: id }, text), input, about, problem);
    const say = words => {
        problem.textContent = words;
        if (words) input.setAttribute("aria-invalid", "true");
        else input.removeAttribute("aria-invalid");
        row.classList.toggle("es-invalid", Boolean(words));
    };
    return { row, input, say };
}

export function textInput(value, more = {}) {
    return el("input", {
        type: "text",
        class: pf("c-form-control") + " es-input",
        autocomplete: "off",
        spellcheck: "false",
        value: value === null || value === undefined ? "" : String(value),
        ...more,
    });
}

/* options: [[value, text]] */
export function choice(options, value, more = {}) {
    return el(
        "select",
        { class: pf("c-form-control") + " es-input", ...more },
        options.map(([word, text]) => el("option", { value: word, selected: word === value }, text))
    );
}

/* One text alone, or a list of several. */
export function hintList(texts) {
    return texts.length > 1
        ? el(
              "ul",
              { class: "es-hints" },
              texts.map(text => el("li", null, text))
          )
        : texts.map(text => el("p", null, text));
}
