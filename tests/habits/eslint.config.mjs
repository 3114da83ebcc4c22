// What eslint looks for in the page for Cockpit (make lint-cockpit).
const browser = ["cockpit", "document", "window", "localStorage", "Node", "TextEncoder", "TextDecoder", "setTimeout", "CustomEvent"];

export default [{ ignores: ["**/po.*.js"] }, {
    languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: Object.fromEntries(browser.map(name => [name, "readonly"])) },
    rules: {
        "no-undef": "error", "no-unused-vars": ["error", { argsIgnorePattern: "^event$", caughtErrors: "none" }], "eqeqeq": "error",
        "no-var": "error", "prefer-const": "error", "no-eval": "error", "no-implied-eval": "error", "no-unreachable": "error",
        "no-shadow": "error", "complexity": ["error", 15], "max-lines-per-function": ["error", 80], "max-lines": ["error", 300],
    },
}];
