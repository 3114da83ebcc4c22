/* SPDX-License-Identifier: MIT */
/* Elements of the page. Texts become text nodes and nothing else, so what a stranger wrote cannot become markup;
 * handlers are properties, so that `morph` can take them over. */

/* Classes of PatternFly as Cockpit ships it, by whichever version that is: "c-button m-primary" stands for
 * pf-c-button, pf-v5-c-button, pf-v6-c-button and pf-m-primary. */
export function pf(names) {
    return names
        .split(" ")
        .map(name => (name.startsWith("m-") ? `pf-${name}` : `pf-${name} pf-v5-${name} pf-v6-${name}`))
        .join(" ");
}

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "line", "rect", "text", "g", "title", "circle"]);

/* Controls, and what reorders a text, as the daemon and the tool show them: "\u{202E}". */
function printable(text) {
    return text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, one =>
        "\n\t\r".includes(one) ? one : `\\u{${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}}`
    );
}

function addChild(node, child) {
    if (Array.isArray(child)) child.forEach(one => addChild(node, one));
    else if (child instanceof Node) node.append(child);
    else if (child !== null && child !== undefined && child !== false)
        node.append(document.createTextNode(printable(String(child))));
}

function setAttribute(node, name, value) {
    if (value === null || value === undefined || value === false) return;
    if (typeof value === "function") node[name] = value;
    else if (name === "value" || name === "checked" || name === "disabled" || name === "selected")
        node[name] = value;
    else if (name === "aria-label" || name === "title") node.setAttribute(name, printable(String(value)));
    else node.setAttribute(name, value === true ? "" : String(value));
}

/* el("td", { class: "x", onclick: f, "data-label": _("Name") }, "text", node, [more]) */
export function el(tag, attributes, ...children) {
    const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
    addChild(node, children);
    Object.entries(attributes || {}).forEach(([name, value]) => setAttribute(node, name, value));
    return node;
}

const HANDLERS = ["onclick", "onchange", "oninput", "onkeydown", "onsubmit"];

function same(old, made) {
    return (
        old.nodeType === made.nodeType &&
        old.nodeName === made.nodeName &&
        (old.nodeType !== Node.ELEMENT_NODE || (old.id === made.id && old.dataset.key === made.dataset.key))
    );
}

function morphAttributes(old, made) {
    [...old.attributes].forEach(one => made.hasAttribute(one.name) || old.removeAttribute(one.name));
    [...made.attributes].forEach(
        one => old.getAttribute(one.name) === one.value || old.setAttribute(one.name, one.value)
    );
    HANDLERS.forEach(name => {
        old[name] = made[name];
    });
    if ("disabled" in made) old.disabled = made.disabled;
    /* what a person is typing or choosing stays */
    if (
        "value" in made &&
        made.tagName !== "LI" &&
        old !== document.activeElement &&
        old.value !== made.value
    )
        old.value = made.value;
    if ("checked" in made) old.checked = made.checked;
}

/* An element that draws itself: made once for where the address leads, then left alone by `morph`. */
export function own(key, make) {
    const name = `${key} ${cockpit.location.href}`;
    const there = [...document.querySelectorAll("[data-own]")].some(one => one.dataset.own === name);
    return el("div", { "data-own": name, "data-key": name }, there ? null : make());
}

/* Makes the children of `old` those of `made`, and leaves in place what is alike: the focus, a selection and the
 * scroll position outlive a refresh. */
export function morph(old, made) {
    const wanted = [...made.childNodes];
    wanted.forEach((child, at) => {
        let here = old.childNodes[at];
        if (here && child.dataset && child.dataset.key && !same(here, child)) {
            const match = [...old.childNodes].slice(at).find(one => same(one, child));
            if (match) {
                old.insertBefore(match, here);
                here = match;
            }
        }
        if (!here) {
            old.append(child);
        } else if (!same(here, child)) {
            old.replaceChild(child, here);
        } else if (child.nodeType === Node.TEXT_NODE) {
            if (here.data !== child.data) here.data = child.data;
        } else if (!child.dataset || !child.dataset.own) {
            morph(here, child);
            morphAttributes(here, child);
        }
    });
    while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

/* Tells those who listen instead of looking. */
export function announce(text) {
    document.getElementById("announce").textContent = text;
}
