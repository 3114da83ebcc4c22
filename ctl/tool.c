/* SPDX-License-Identifier: MIT */
/* A run of the tool: its options looked up, its words in turn, failures told: a sentence, then what to do. */
#include "ctl/tool.h"

#include "common/json_fields.h"
#include "common/printable.h"
#include "ctl/call.h"
#include "ctl/commands.h"
#include "ctl/show.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

const char *tool_next_option(const struct tool *tool, const char *name, size_t *at)
{
        while (*at < tool->option_count) {
                const struct given_option *given = &tool->options[(*at)++];
                if (same_text(given->rule->name, name))
                        return given->value ? given->value : "";
        }
        return NULL;
}

/* The last one counts, as for most programs: an alias may give one that the person overrides. */
const char *tool_option(const struct tool *tool, const char *name)
{
        const char *last = NULL;
        size_t at = 0;
        for (const char *value; (value = tool_next_option(tool, name, &at));)
                last = value;
        return last;
}

bool tool_has(const struct tool *tool, const char *name)
{
        return tool_option(tool, name) != NULL;
}

void tool_done(struct tool *tool)
{
        call_close(tool);
        free(tool->words);
        free(tool->host_list);
        free(tool->options);
        *tool = (struct tool){ 0 };
}

/* All of it, whatever a pipe takes at once. */
int tool_write(int fd, const void *bytes, size_t len)
{
        for (size_t at = 0; at < len;) {
                ssize_t wrote = write(fd, (const char *)bytes + at, len - at);
                if (wrote < 0 && errno != EINTR)
                        return -1;
                at += wrote > 0 ? (size_t)wrote : 0;
        }
        return 0;
}

int tell_cause(const struct cause *cause)
{
        /* What was printed so far goes before: both may be the same terminal. */
        fflush(stdout);
        scoped(scoped_free) char *text = printable_text(cause->text);
        scoped(scoped_free) char *remedy = printable_text(cause_remedy_of(cause));
        scoped(scoped_free) char *sentence =
                cause->property[0] ? text_of("%s: %s", cause->property, text) : copy_text(text);
        fputs("emailsecctl: ", stderr);
        show_prose_of_failure(strlen("emailsecctl: "), sentence);
        fputs("\n", stderr);
        if (remedy[0]) {
                fputs("  what to do: ", stderr);
                show_prose_of_failure(strlen("  what to do: "), remedy);
                fputs("\n", stderr);
        }
        return cause_kind(cause->code)->exit_status;
}

int tell_causes(const struct causes *causes)
{
        int status = EXIT_FAILED;
        /* All are told, and the first decides the status: it is the one to mend first. */
        for (size_t i = causes->count; i-- > 0;)
                status = cause_kind(causes->items[i].code)->exit_status;
        for (size_t i = 0; i < causes->count; i++)
                (void)tell_cause(&causes->items[i]);
        return status;
}

int tell_usage(const struct tool *tool, const char *format, ...)
{
        char text[512];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        scoped(scoped_free) char *safe = printable_text(text);
        fputs("emailsecctl: ", stderr);
        show_prose_of_failure(strlen("emailsecctl: "), safe);
        fputs("\n", stderr);
        if (tool->command)
                fprintf(stderr, "  what to do: emailsecctl %s --help\n", tool->command->words);
        else if (tool->group)
                fprintf(stderr, "  what to do: emailsecctl %s --help\n", tool->group);
        else
                fputs("  what to do: emailsecctl --help\n", stderr);
        return EXIT_USAGE;
}

/* ---- one command for several names ---- */

int each_word(struct tool *tool, each_run *run)
{
        scoped(scoped_json) json_t *all = json_array();
        int status = EXIT_DONE;
        for (size_t i = 0; i < tool->word_count; i++) {
                json_t *one = NULL;
                int its = run(tool, tool->words[i], &one);
                if (one)
                        (void)json_array_append_new(all, one);
                status = status ? status : its;
                if (its == EXIT_NO_DAEMON)
                        break;
        }
        if (tool->json && tool->word_count > 1)
                show_json(all);
        else if (tool->json && json_array_size(all))
                show_json(json_array_get(all, 0));
        return status;
}

int tool_show_list(struct tool *tool, const char *method, json_t *parameters, const char *member,
                   const struct column *columns, size_t count, const char *none)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, method, parameters, &answer);

        if (!status)
                show_list(tool, columns, count, json_at(answer, member), none);
        return status;
}

/* ---- all accounts ---- */

static int ask_page(struct tool *tool, const char *after, json_t **page, struct causes *failures)
{
        enum { PAGE = 500 };
        json_t *parameters = parameters_of("after", after);
        json_put(parameters, "limit", json_integer(PAGE));
        struct tool_call call = { .method = EMAIL("ListAccounts"), .parameters = parameters, .fd = -1 };
        return failures ? call_once(tool, call, page, failures)
                        : call_daemon(tool, call.method, call.parameters, page);
}

int each_account(struct tool *tool, const char *after, each_account_run *run, void *arg,
                 struct causes *failures)
{
        scoped(scoped_free) char *last = copy_text(after);
        do {
                scoped(scoped_json) json_t *answer = NULL;
                int status = ask_page(tool, last, &answer, failures);
                const json_t *accounts = json_at(answer, "accounts");
                for (size_t i = 0; status == EXIT_DONE && i < json_array_size(accounts); i++)
                        status = run(arg, json_array_get(accounts, i));
                if (status != EXIT_DONE)
                        return status;
                free(last);
                last = copy_text(json_string_value(json_at(answer, "next")));
        } while (last);
        return EXIT_DONE;
}
