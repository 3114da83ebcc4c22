/* SPDX-License-Identifier: MIT */
/* `account test`, `probe`, `account authorize`: each step as it happens. */
#include "common/json_fields.h"
#include "common/names.h"
#include "common/printable.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/show.h"
#include "ctl/steps.h"
#include "ctl/tool.h"

#define STEP_COLUMN 27 /* where the text of a step begins: behind mark, name and time */

/* What one test has told so far. */
struct steps {
        json_t *seen; /* for --json */
        bool failed;
};

/* With a character set that has no such marks, words of two letters: colour alone must not tell. */
static const char *mark_of(const char *result)
{
        static const struct {
                const char *result, *fine, *plain;
        } marks[] = {
                { "ok", "\xe2\x9c\x93", "ok" },
                { "warning", "!", "!!" },
                { "failed", "\xe2\x9c\x97", "XX" },
                { "skipped", "-", "--" },
        };
        for (size_t i = 0; i < count_of(marks); i++)
                if (same_text(result, marks[i].result))
                        return term_utf8() ? marks[i].fine : marks[i].plain;
        return "?";
}

static char *time_words(int64_t milliseconds)
{
        return milliseconds ? text_of("%lld ms", (long long)milliseconds) : copy_text("< 1 ms");
}

/* Under the step: what the server showed, from its own certificate up. */
static void show_shown_chain(const json_t *chain)
{
        for (size_t i = 0; i < json_array_size(chain); i++) {
                const json_t *one = json_array_get(chain, i);
                scoped(scoped_free) char *names = json_words(json_at(one, "subjectAltNames"));
                scoped(scoped_free) char *subject = json_words(json_at(one, "subject"));
                scoped(scoped_free) char *issuer = json_words(json_at(one, "issuer"));
                scoped(scoped_free) char *from = date_words(json_at(one, "notBefore"));
                scoped(scoped_free) char *until = date_words(json_at(one, "notAfter"));
                scoped(scoped_free) char *digest = json_words(json_at(one, "fingerprintSha256"));
                printf("    %zu  %s, issued by %s\n", i, subject, issuer);
                if (i == 0)
                        printf("       names: %s\n", names);
                printf("       valid: %s to %s\n       SHA-256: %s\n", from, until, digest);
        }
}

static void show_step(const json_t *step)
{
        const char *result = json_text(step, "result");
        scoped(scoped_free) char *name = json_words(json_at(step, "step"));
        scoped(scoped_free) char *text = json_words(json_at(step, "text"));
        bool skipped = same_text(result, "skipped");
        scoped(scoped_free) char *time =
                skipped ? copy_text("") : time_words(json_number(step, "milliseconds"));
        printf("%s%s%s %-13s %9s  ", term_tint(tint_of(result)), mark_of(result), term_plain(), name, time);
        show_prose(STEP_COLUMN, text);
        puts("");
        show_shown_chain(json_at(step, "details.chain"));
        const json_t *cause = json_at(step, "cause");
        /* The text of a step may be that of its cause: it is not said twice. */
        if (json_is_object(cause) && !same_text(json_text(cause, "text"), json_text(step, "text")))
                show_advice(tint_of(result), json_text(cause, "text"), json_text(cause, "remedy"));
        else if (json_is_object(cause) && json_text(cause, "remedy")[0]) {
                scoped(scoped_free) char *remedy = printable_text(json_text(cause, "remedy"));
                fputs("    what to do: ", stdout);
                show_prose(strlen("    what to do: "), remedy);
                puts("");
        }
        fflush(stdout);
}

static int hear_step(struct tool *tool, const json_t *answer, void *arg)
{
        struct steps *steps = arg;
        json_t *step = json_object_get(answer, "step");
        if (!json_is_object(step))
                return EXIT_DONE;
        if (same_text(json_text(step, "result"), "failed"))
                steps->failed = true;
        /* The line that waits is replaced by the step, and written anew below it. */
        term_progress_end();
        if (tool->json)
                (void)json_array_append(steps->seen, step);
        else
                show_step(step);
        term_progress(tool, "...");
        return EXIT_DONE;
}

/* A step that failed is a failure of the run, though the call itself went well. */
int steps_hear(struct tool *tool, const char *method, json_t *parameters, json_t **out)
{
        struct steps steps = { .seen = json_array() };
        int status = call_stream(tool, method, parameters, hear_step, &steps);
        term_progress_end();
        *out = steps.seen;
        return status ? status : steps.failed ? EXIT_FAILED : EXIT_DONE;
}

static int watch_steps(struct tool *tool, const char *method, json_t *parameters)
{
        scoped(scoped_json) json_t *seen = NULL;
        int status = steps_hear(tool, method, parameters, &seen);
        if (tool->json)
                show_json(seen);
        return status;
}

static int test_one(struct tool *tool, const char *name, json_t **out)
{
        /* With one name the answer is the list of its steps; with several each says of which
         * account it is. */
        bool several = tool->word_count > 1;
        scoped(scoped_free) char *safe = printable_text(name);
        if (several && !tool->json)
                sheet_title(safe);
        int status = steps_hear(tool, EMAIL("TestAccount"), parameters_of("name", name), out);
        if (several)
                *out = json_pack("{s:s, s:o}", "account", safe, "steps", *out);
        return status;
}

int run_account_test(struct tool *tool)
{
        return each_word(tool, test_one);
}

int run_account_authorize(struct tool *tool)
{
        return watch_steps(tool, EMAIL("AuthorizeAccount"), parameters_of("name", tool_word(tool, 0)));
}

int run_account_heartbeat(struct tool *tool)
{
        return watch_steps(tool, EMAIL("SendHeartbeat"), parameters_of("name", tool_word(tool, 0)));
}

json_t *parameters_of_probe(const struct tool *tool, const char *server, struct cause *cause)
{
        uint16_t port = 0;
        scoped(scoped_free) char *host = host_port_parse(server, &port, cause);
        if (!host)
                return NULL;
        json_t *parameters = parameters_of("host", host);
        if (port)
                json_put(parameters, "port", json_integer(port));
        parameter_text(parameters, "transport", tool_option(tool, "transport"));
        parameter_text(parameters, "security", tool_option(tool, "security"));
        return parameters;
}

int run_probe(struct tool *tool)
{
        /* An address has its servers looked up first. */
        if (strchr(tool_word(tool, 0), '@'))
                return run_probe_address(tool);
        struct cause cause = { 0 };
        json_t *parameters = parameters_of_probe(tool, tool_word(tool, 0), &cause);
        if (!parameters)
                return tell_usage(tool, "%s", cause.text);
        return watch_steps(tool, EMAIL("Probe"), parameters);
}
