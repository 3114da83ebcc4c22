/* SPDX-License-Identifier: MIT */
/*
 * `trust ...`: the anchors of the User Trust Store, a look at those of the system and at what servers showed.
 * `trust import --from-server`: the chain a server shows, and its last certificate into the User Trust Store
 * once a person has compared the fingerprint. What comes over the wire proves nothing, so "yes" is no answer
 * here either.
 */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "ctl/ask.h"
#include "ctl/call.h"
#include "ctl/certificate.h"
#include "ctl/cmds.h"
#include "ctl/read_file.h"
#include "ctl/show.h"
#include "ctl/submit.h"

/* ---- import --from-server ---- */

#define LAST_DIGITS 16

struct look {
        json_t *chain;
        struct cause cause; /* of the step that failed before there was a certificate */
};

/* The first chain that a step shows is kept. That it does not verify is why somebody looks at it:
 * failures behind it are none here. */
static int hear_step(struct tool *tool, const json_t *answer, void *arg)
{
        struct look *look = arg;
        const json_t *step = json_object_get(answer, "step");
        const json_t *chain = json_at(step, "details.chain");
        (void)tool;
        if (json_array_size(chain) && !look->chain)
                look->chain = json_deep_copy(chain);
        else if (!look->chain && json_is_object(json_at(step, "cause")))
                cause_from_json(json_at(step, "cause"), &look->cause);
        return EXIT_DONE;
}

static int look_at_server(struct tool *tool, struct look *look)
{
        struct cause cause = { 0 };
        json_t *parameters = parameters_of_probe(tool, tool_option(tool, "from-server"), &cause);
        if (!parameters)
                return tell_usage(tool, "--from-server: %s", cause.text);
        int status = call_stream(tool, EMAIL("Probe"), parameters, hear_step, look);
        if (status || look->chain)
                return status;
        if (look->cause.code == CAUSE_NONE)
                (void)cause_set(&look->cause, CAUSE_INVALID, "that server showed no certificate");
        return tell_cause(&look->cause);
}

/* The last of the chain, which is its root or the issuer nearest to it. */
static const json_t *issuer_in(const json_t *chain, struct cause *cause)
{
        size_t count = json_array_size(chain);
        const json_t *last = json_array_get(chain, count - 1);

        if (count > 1 || same_text(json_text(last, "subject"), json_text(last, "issuer")))
                return last;
        (void)cause_set(cause, CAUSE_INVALID,
                        "the server shows its own certificate alone and not its issuer, %s",
                        json_text(last, "issuer"));
        cause_remedy(cause, "get the issuer's certificate from the server's operator, then: emailsecctl "
                            "trust import FILE");
        return NULL;
}

static void show_what_came(const json_t *chain, const json_t *issuer)
{
        for (size_t i = 0; i < json_array_size(chain); i++) {
                const json_t *one = json_array_get(chain, i);
                scoped(scoped_free) char *label = text_of("chain %zu", i);
                sheet_format(label, "%s\nissued by %s", json_text(one, "subject"), json_text(one, "issuer"));
        }
        puts("\nTo be trusted for every server it vouches for:");
        show_certificate(issuer);
        fflush(stdout);
}

/* The digits a person gave are those of the certificate's SHA-256. */
static bool names_it(const char *given, const json_t *certificate)
{
        scoped(scoped_free) char *digits = given ? fingerprint_normal(given) : NULL;
        scoped(scoped_free) char *own = fingerprint_normal(json_text(certificate, "fingerprintSha256"));

        return digits && own && strlen(digits) >= LAST_DIGITS && strncmp(own, digits, strlen(digits)) == 0;
}

static int confirm(struct tool *tool, const json_t *chain, const json_t *issuer)
{
        scoped(scoped_free) char *answer = copy_text(tool_option(tool, "fingerprint"));
        struct cause cause;

        if (!answer && (!term_input() || tool->no_ask_password))
                return tell_usage(tool, "--fingerprint is required where nobody can be asked on a terminal");
        if (!answer) {
                show_what_came(chain, issuer);
                answer = ask_line("\nCompare with what the server's operator tells you; then type the "
                                  "SHA-256 (16 digits "
                                  "or more): ");
        }
        if (names_it(answer, issuer))
                return EXIT_DONE;
        if (!answer || !*answer)
                (void)cause_set(&cause, CAUSE_CANCELLED, "nothing was imported");
        else
                (void)cause_set(&cause, CAUSE_FINGERPRINT,
                                "those are not 16 or more digits of the SHA-256 of %s",
                                json_text(issuer, "subject"));
        return tell_cause(&cause);
}

/* The certificate that a server's chain ends in, as PEM, once a person has named it. Exit status. */
static int trust_from_server(struct tool *tool, char **pem)
{
        struct look look = { 0 };
        struct cause cause = { 0 };
        int status = look_at_server(tool, &look);
        scoped(scoped_json) json_t *chain = look.chain;

        if (status)
                return status;
        const json_t *issuer = issuer_in(chain, &cause);
        if (!issuer)
                return tell_cause(&cause);
        status = confirm(tool, chain, issuer);
        if (!status)
                *pem = copy_text(json_text(issuer, "pem"));
        return status;
}

/* ---- commands ---- */

int run_trust_list(struct tool *tool)
{
        static const struct column columns[] = {
                { "FINGERPRINT", "fingerprintSha256", digest_words, COLUMN_WHOLE },
                { "STORE", "store", NULL, 0 },
                { "SUBJECT", "certificate.subject", NULL, 0 },
                { "VALID UNTIL", "certificate.notAfter", date_words, 0 },
        };
        json_t *parameters = json_object();
        parameter_flag(parameters, "system", tool_has(tool, "system"));
        return tool_show_list(tool, TRUST("ListAnchors"), parameters, "anchors", columns, count_of(columns),
                              "Nothing has been imported: emailsecctl trust import FILE");
}

/* Names an anchor by its fingerprint to a method; as JSON, or as `show` puts it. */
static int call_about_anchor(struct tool *tool, const char *method,
                             void (*show)(struct tool *tool, const json_t *anchor))
{
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, method, parameters_of("fingerprint", tool_word(tool, 0)), &answer);
        if (status)
                return status;
        if (tool->json)
                show_json(json_at(answer, "anchor"));
        else
                show(tool, json_at(answer, "anchor"));
        return status;
}

static void show_anchor(struct tool *tool, const json_t *anchor)
{
        (void)tool;
        sheet_title(json_text(anchor, "store")[0] == 's' ? "System Trust Store" : "User Trust Store");
        show_certificate(json_at(anchor, "certificate"));
}

int run_trust_show(struct tool *tool)
{
        return call_about_anchor(tool, TRUST("GetAnchor"), show_anchor);
}

/* `path`: named in what is told of a failure. */
static int import_bytes(struct tool *tool, const char *path, const void *bytes, size_t len, json_t *results)
{
        scoped(scoped_free) char *text = base64_encode(bytes, len);
        scoped(scoped_json) json_t *answer = NULL;
        scoped(causes_free) struct causes failures = { 0 };
        struct tool_call call = { .method = TRUST("ImportAnchors"),
                                  .parameters = parameters_of("certificates", text),
                                  .fd = -1 };
        if (!call_once(tool, call, &answer, &failures)) {
                (void)json_array_extend(results, json_object_get(answer, "results"));
                return EXIT_DONE;
        }
        for (size_t i = 0; path && i < failures.count; i++)
                cause_prefix(&failures.items[i], "%s: ", path);
        return tell_causes(&failures);
}

/* Sends one file; its results are appended to `results`. */
static int import_file(struct tool *tool, const char *path, json_t *results)
{
        struct cause cause = { 0 };
        scoped(buf_free) struct buf content = BUF_WITH_MAX(LIMIT_TRUST_IMPORT + 1);
        if (read_file_whole(path, &content, &cause)) {
                if (cause.code == CAUSE_TOO_LARGE)
                        (void)cause_set(&cause, CAUSE_TOO_LARGE, "%s is larger than 4 MiB", path);
                return tell_cause(&cause);
        }
        if (content.len == 0) {
                (void)cause_set(&cause, CAUSE_INVALID, "%s is empty", path);
                return tell_cause(&cause);
        }
        return import_bytes(tool, path, buf_bytes(&content), content.len, results);
}

static int import_from_server(struct tool *tool, json_t *results)
{
        scoped(scoped_free) char *pem = NULL;
        int status = trust_from_server(tool, &pem);
        return status ? status : import_bytes(tool, NULL, pem, strlen(pem), results);
}

int run_trust_import(struct tool *tool)
{
        static const struct column columns[] = {
                { "FINGERPRINT", "fingerprintSha256", digest_words, COLUMN_WHOLE },
                { "RESULT", "result", NULL, COLUMN_STATE },
                { "SUBJECT", "subject", NULL, COLUMN_BELOW },
                { "REMARK", "text", NULL, COLUMN_BELOW },
        };
        scoped(scoped_json) json_t *results = json_array();
        int status = EXIT_DONE;
        if (tool_has(tool, "from-server") == (tool->word_count > 0))
                return tell_usage(tool, "'trust import' needs FILE or --from-server HOST:PORT");
        if (tool_has(tool, "from-server"))
                status = import_from_server(tool, results);
        for (size_t i = 0; i < tool->word_count; i++) { /* a bad file is no reason to leave the others out */
                int one = import_file(tool, tool->words[i], results);
                status = status ? status : one;
                /* The other files would fail alike. */
                if (one == EXIT_NO_DAEMON || one == EXIT_DENIED)
                        break;
        }
        if (!status || json_array_size(results))
                show_list(tool, columns, count_of(columns), results, "There was no certificate in it.");
        for (size_t i = 0; i < json_array_size(results) && !status; i++)
                if (same_text(json_text(json_array_get(results, i), "result"), "refused"))
                        status = EXIT_FAILED;
        return status;
}

static void show_deleted(struct tool *tool, const json_t *anchor)
{
        show_done(tool, "%s: no longer trusted", json_text(anchor, "certificate.subject"));
}

int run_trust_delete(struct tool *tool)
{
        return call_about_anchor(tool, TRUST("DeleteAnchor"), show_deleted);
}

static char *days_words(const json_t *value)
{
        long long days = (long long)json_integer_value(value);

        return days < 0 ? copy_text("ended") : text_of("%lld", days);
}

static char *verified_words(const json_t *value)
{
        return json_is_string(value) ? json_words(value) : copy_text("not accepted");
}

int run_trust_servers(struct tool *tool)
{
        static const struct column columns[] = {
                { "HOST", "host", NULL, COLUMN_WHOLE },
                { "PORT", "port", NULL, COLUMN_RIGHT },
                { "VALID UNTIL", "notAfter", date_words, COLUMN_WHOLE },
                { "DAYS", "daysLeft", days_words, COLUMN_RIGHT | COLUMN_STATE },
                { "VERIFIED BY", "verifiedBy", verified_words, COLUMN_WHOLE | COLUMN_STATE },
                { "ACCOUNTS", "accounts", NULL, COLUMN_BELOW },
                { "SUBJECT", "subject", NULL, COLUMN_BELOW },
                { "ISSUER", "issuer", NULL, COLUMN_BELOW },
        };
        return tool_show_list(tool, TRUST("ListServerCertificates"), NULL, "certificates", columns,
                              count_of(columns), "No server has shown a certificate yet.");
}
