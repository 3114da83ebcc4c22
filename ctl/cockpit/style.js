/* SPDX-License-Identifier: MIT */
/* Dark or light, as chosen in Cockpit's own menu ("shell:style"), or as the browser is. */
const CLASSES = ["pf-theme-dark", "pf-v5-theme-dark", "pf-v6-theme-dark", "es-dark"];
const system = window.matchMedia("(prefers-color-scheme: dark)");

function follow(style) {
    const chosen = style || localStorage.getItem("shell:style") || "auto";
    const dark = chosen === "dark" || (chosen === "auto" && system.matches);
    CLASSES.forEach(name => document.documentElement.classList.toggle(name, dark));
}

export function followStyle() {
    window.addEventListener("storage", event => event.key === "shell:style" && follow());
    window.addEventListener("cockpit-style", event => event.detail && follow(event.detail.style));
    system.addEventListener("change", () => follow());
    follow();
}
