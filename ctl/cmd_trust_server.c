/* SPDX-License-Identifier: MIT */
/*
 * `trust import --from-server`: the chain a server shows, and its last certificate into the User Trust Store
 * once a person has compared the fingerprint. What comes over the wire proves nothing, so "yes" is no answer
 * here either.
 */
#include "common/json_fields.h"
#include "common/names.h"
#include "ctl/ask.h"
#include "ctl/call.h"
#include "ctl/certificate.h"
#include "ctl/cmds.h"
#include "ctl/show.h"

#define LAST_DIGITS 16

struct look {
        json_t *chain;
        struct cause cause; /* of the step that failed before there was a certificate */
};

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
        uint16_t port = 0;
        scoped(scoped_free) char *host = host_port_parse(tool_option(tool, "from-server"), &port, &cause);
        if (!host)
                return tell_usage(tool, "--from-server: %s", cause.text);
        json_t *parameters = parameters_of("host", host);
        if (port)
                json_put(parameters, "port", json_integer(port));
        parameter_text(parameters, "transport", tool_option(tool, "transport"));
        parameter_text(parameters, "security", tool_option(tool, "security"));
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

int trust_from_server(struct tool *tool, char **pem)
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
