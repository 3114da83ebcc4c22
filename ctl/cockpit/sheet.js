/* SPDX-License-Identifier: MIT */
/* The property sheet: the properties of an account in the groups that the daemon names, the exclusive choice of its
 * security with the port that belongs to it, and all problems at their fields at once. */
import { announce, el } from "./dom.js";
import { alert, button, failure } from "./parts.js";
import { control, exclusive } from "./controls.js";

const _ = cockpit.gettext;

function usualPort(ports, transport, security) {
    const row = ports.find(one => one.transport === transport);
    return row ? row[security] : null;
}

/* The port follows the security: a number becomes the usual one, "auto" stays and means another. */
function movePort(controls, ports, security) {
    const port = controls.get("port");
    const transport = controls.get("transport");
    const usual = port && transport && usualPort(ports, transport.value(), security);
    if (!usual || String(port.value()) === "auto") return;
    port.set(usual);
    announce(cockpit.format(_("The port is $0 now."), usual));
}

function pairOf(properties) {
    const first = properties.find(
        one => one.excludes && properties.some(other => other.name === one.excludes)
    );
    return first ? [first.name, first.excludes] : null;
}

/* A sheet of the writable properties: {node, controls, changes, explain, setAll}. values: those now; changed() is
 * called after each change. */
export function propertySheet(description, kind, values, changed, readOnly) {
    const properties = description[kind].filter(one => one.access === "write");
    const controls = new Map(
        properties.map(one => {
            const value = one.name in values ? values[one.name] : one.default;
            return [one.name, control(one, value, changed)];
        })
    );
    const pair = pairOf(properties);
    const choice =
        pair &&
        exclusive(controls.get(pair[0]), controls.get(pair[1]), security => {
            movePort(controls, description.ports, security);
            changed();
        });
    const rowOf = one =>
        !pair || !pair.includes(one.name) ? controls.get(one.name).row : one.name === pair[0] ? choice : null;
    const groups = description.groups.map(group => {
        const rows = properties
            .filter(one => one.group === group.name)
            .map(rowOf)
            .filter(Boolean);
        return rows.length
            ? el(
                  "fieldset",
                  { class: "es-group", disabled: readOnly },
                  el("legend", null, _(group.title)),
                  el("div", { class: "es-group-rows" }, rows)
              )
            : null;
    });
    const changes = () => {
        const found = {};
        controls.forEach((one, name) => {
            if (one.isChanged()) found[name] = one.value();
        });
        /* where the security changes the daemon wants to be told the port as well */
        if (pair && pair.some(name => name in found) && controls.has("port"))
            found.port = controls.get("port").value();
        return found;
    };
    return { node: el("div", { class: "es-groups" }, groups), controls, changes };
}

/* Shows each problem at its field, the rest in `place`; the first one gets the focus. */
export function explain(error, controls, place) {
    controls.forEach(one => one.say(""));
    place.replaceChildren();
    if (!error) return;
    const texts = new Map();
    const loose = [];
    const problems =
        error.problems && error.problems.length ? error.problems : [error.cause || { text: String(error) }];
    problems.forEach(one => {
        /* "repeat the command" is said to who types one */
        const remedy = /repeat the command$/.test(one.remedy || "") ? "" : one.remedy;
        const text = [one.text, remedy].filter(Boolean).join("; ");
        if (controls.has(one.property)) texts.set(one.property, [...(texts.get(one.property) || []), text]);
        else loose.push(text);
    });
    if (!error.cause) place.replaceChildren(failure(error));
    else
        place.replaceChildren(
            alert(
                "bad",
                cockpit.format(
                    cockpit.ngettext(
                        "Nothing was changed: $0 problem.",
                        "Nothing was changed: $0 problems.",
                        problems.length
                    ),
                    problems.length
                ),
                loose.map(text => el("p", null, text))
            )
        );
    place.firstChild.setAttribute("role", "alert");
    texts.forEach((text, name) => controls.get(name).say(text.join(" ")));
    const first = [...controls.entries()].find(([name]) => texts.has(name));
    if (first) first[1].focus();
}

/* The foot of a sheet: save and undo, and how many changes there are. */
export function sheetFoot(save, undo) {
    const count = el("span", { class: "es-muted", role: "status" });
    const keep = button(_("Save"), save, "primary");
    const back = button(_("Undo"), undo, "link");
    const show = number => {
        keep.disabled = number === 0;
        back.disabled = number === 0;
        count.textContent = number
            ? cockpit.format(
                  cockpit.ngettext("$0 change is not saved", "$0 changes are not saved", number),
                  number
              )
            : "";
    };
    show(0);
    return { node: el("div", { class: "es-foot" }, keep, back, count), show };
}
