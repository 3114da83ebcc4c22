/* SPDX-License-Identifier: MIT */
/* `queue ...`: messages that wait, one message in full, and what a person does with them. */
#include "common/json_fields.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/live.h"
#include "ctl/show.h"

/* Messages in one reply: it stays far below the limit of a frame, and a queue of any length is
 * listed. */
#define PAGE 500

static json_t *states_given(const struct tool *tool)
{
        json_t *states = json_array();
        size_t at = 0;
        for (const char *state; (state = tool_next_option(tool, "state", &at));)
                (void)json_array_append_new(states, json_string(state));
        return states;
}

/* The first one and how many more: a table has no room for hundreds. */
static char *addresses_words(const json_t *recipients)
{
        const char *first = json_text(json_array_get(recipients, 0), "address");
        size_t count = json_array_size(recipients);
        scoped(scoped_free) char *text = count > 1 ? text_of("%s +%zu", first, count - 1) : copy_text(first);
        scoped(scoped_json) json_t *value = json_string(text);
        return json_words(value);
}

/* The usual one goes without saying. */
static char *priority_words(const json_t *value)
{
        return same_text(json_string_value(value), "normal") ? copy_text("-") : json_words(value);
}

static const struct column queue_columns[] = {
        { "ID", "id", NULL, COLUMN_WHOLE },
        { "ACCOUNT", "account", NULL, 0 },
        { "STATE", "state", NULL, COLUMN_STATE },
        { "PRIORITY", "priority", priority_words, COLUMN_BELOW },
        { "SIZE", "size", size_words, COLUMN_RIGHT },
        { "SUBMITTED", "submitted", date_words, COLUMN_WHOLE },
        { "NEXT TRY", "next", date_words, COLUMN_WHOLE },
        { "RECIPIENTS", "recipients", addresses_words, COLUMN_BELOW },
        { "CAUSE", "words", NULL, COLUMN_BELOW },
};

/* When what has no time goes on. */
static void put_next(json_t *message)
{
        static const struct {
                const char *reason, *words;
        } all[] = {
                { "operator", "when released" }, { "trust", "when decided" }, { "account", "when mended" },
                { "disk", "with room on disk" }, { "place", "with a place" },
        };
        const char *reason = json_text(message, "waitingFor.reason");
        const json_t *time = json_at(message, "nextAttempt");
        const char *words = same_text(json_text(message, "state"), "queued") ? "now" : NULL;
        if (json_is_string(time)) {
                json_put_text(message, "next", json_string_value(time));
                return;
        }
        for (size_t i = 0; i < count_of(all); i++)
                if (same_text(reason, all[i].reason))
                        words = all[i].words;
        json_put_text(message, "next", words);
}

/* The server's words say more than the code of a cause. */
static void put_words(json_t *message)
{
        const json_t *recipients = json_at(message, "recipients");
        const char *cause = json_text(message, "cause"), *words = cause;
        for (size_t i = 0; i < json_array_size(recipients) && words == cause; i++) {
                const json_t *one = json_array_get(recipients, i);
                if (json_text(one, "reply")[0] && same_text(json_text(one, "cause"), cause))
                        words = json_text(one, "reply");
        }
        json_put_text(message, "words", words[0] ? words : NULL);
}

/* For people: scripts get what the daemon says. */
static void put_all_next(const struct tool *tool, json_t *messages)
{
        size_t index;
        json_t *message;
        if (tool->json)
                return;
        json_array_foreach(messages, index, message) {
                put_next(message);
                put_words(message);
        }
}

/* NAME, or --account NAME, which is the same; told where they are two. */
static int account_meant(const struct tool *tool, const char **out)
{
        const char *name = tool_word(tool, 0), *option = tool_option(tool, "account");
        *out = name ? name : option;
        return name && option && !same_text(name, option)
                       ? tell_usage(tool, "two accounts are named: %s and %s", name, option)
                       : EXIT_DONE;
}

/* The whole list, page by page; -1 with failures. */
static int list_queue(struct tool *tool, void *arg, struct causes *failures)
{
        const char *account = arg;
        struct listing listing = { .tool = tool,
                                   .columns = queue_columns,
                                   .column_count = count_of(queue_columns) };
        /* The list goes on behind the last message of a page, so that it is right though messages
         * come and go between the calls. */
        scoped(scoped_free) char *after = NULL;
        do {
                json_t *parameters = parameters_of("account", account);
                if (tool_has(tool, "state"))
                        json_put(parameters, "states", states_given(tool));
                parameter_text(parameters, "after", after);
                json_put(parameters, "limit", json_integer(PAGE));
                struct tool_call call = { .method = EMAIL("ListQueue"), .parameters = parameters, .fd = -1 };
                scoped(scoped_json) json_t *answer = NULL;
                if (call_once(tool, call, &answer, failures))
                        return -1;
                put_all_next(tool, json_object_get(answer, "messages"));
                listing_page(&listing, json_at(answer, "messages"));
                free(after);
                after = copy_text(json_string_value(json_at(answer, "next")));
        } while (after && after[0]);
        listing_end(&listing, "Nothing waits.");
        return 0;
}

int run_queue_list(struct tool *tool)
{
        scoped(causes_free) struct causes failures = { 0 };
        const char *account = NULL;
        if (account_meant(tool, &account))
                return EXIT_USAGE;
        if (tool_has(tool, "watch")) {
                /* A pager and a screen that is drawn anew do not go together. */
                tool->no_pager = true;
                return live_run(tool, list_queue, (void *)(uintptr_t)account);
        }
        return list_queue(tool, (void *)(uintptr_t)account, &failures) ? tell_causes(&failures) : EXIT_DONE;
}

/* Each recipient has a state and a reply of its own (RFC 5321 section 3.3). */
static void show_recipients(const struct tool *tool, const json_t *message)
{
        static const struct column columns[] = {
                { "RECIPIENT", "address", NULL, COLUMN_WHOLE },
                { "STATE", "state", NULL, COLUMN_STATE },
                { "TIME", "time", date_words, 0 },
                { "REPLY", "reply", NULL, COLUMN_BELOW },
                { "CAUSE", "cause", NULL, COLUMN_BELOW },
        };
        puts("");
        show_list(tool, columns, count_of(columns), json_at(message, "recipients"), "");
}

static void show_history(const struct tool *tool, const json_t *message)
{
        static const struct column columns[] = {
                { "ATTEMPT", "time", date_words, 0 },
                { "HOST", "host", NULL, 0 },
                { "TLS", "tls", NULL, 0 },
                { "RESULT", "result", NULL, COLUMN_BELOW },
        };
        if (json_array_size(json_at(message, "history")) == 0)
                return;
        puts("");
        show_list(tool, columns, count_of(columns), json_at(message, "history"), "");
}

static void show_message(const struct tool *tool, const json_t *message)
{
        static const char *const fields[][2] = {
                { "account", "account" },
                { "state", "state" },
                { "cause", "cause" },
                { "waits for", "waitingFor.reason" },
                { "from", "from" },
                { "size", "size" },
                { "priority", "priority" },
                { "Message-ID", "messageId" },
                { "submitted", "submitted" },
                { "submitted by", "submittedBy" },
                { "attempts", "attempts" },
                { "next attempt", "nextAttempt" },
                { "expires", "expires" },
                { "reports bring", "ret" },
                { "envelope id", "envelopeId" },
        };
        scoped(scoped_free) char *id = json_words(json_at(message, "id"));
        sheet_title(id);
        for (size_t i = 0; i < count_of(fields); i++)
                sheet_value(fields[i][0], message, fields[i][1]);
        show_recipients(tool, message);
        show_history(tool, message);
}

int run_queue_show(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, EMAIL("GetMessage"), parameters_of("id", tool_word(tool, 0)), &answer);
        if (status)
                return status;
        if (tool->json)
                show_json(json_at(answer, "message"));
        else
                show_message(tool, json_at(answer, "message"));
        return status;
}

/* Why one waits all the same, and until when; NULL: it does not. The caller frees. */
static char *words_of_wait(const json_t *waiting)
{
        const json_t *until = json_at(waiting, "until");
        scoped(scoped_free) char *when = json_is_string(until) ? date_words(until) : NULL;
        return json_is_object(waiting) ? text_of("waits: %s%s%s", json_text(waiting, "text"),
                                                 when ? "; until " : "", when ? when : "")
                                       : NULL;
}

static char *reason_to_wait(const json_t *answer, const char *id)
{
        size_t index;
        const json_t *one;
        json_array_foreach(json_at(answer, "waiting"), index, one)
                if (same_text(json_text(one, "id"), id))
                        return words_of_wait(json_at(one, "waitingFor"));
        return NULL;
}

/* One call for all ids; what comes back are those that changed, each with a reason where it goes on
 * waiting. `to`: the account of a reroute, else NULL. */
static int do_with_ids(struct tool *tool, const char *method, const char *to, const char *done)
{
        json_t *ids = json_array();
        for (size_t i = 0; i < tool->word_count; i++)
                (void)json_array_append_new(ids, json_string(tool->words[i]));
        json_t *parameters = json_object();
        json_put(parameters, "ids", ids);
        if (to)
                json_put_text(parameters, "account", to);
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, method, parameters, &answer);
        if (status)
                return status;
        const json_t *changed = json_at(answer, "ids");
        if (tool->json)
                show_json(changed);
        for (size_t i = 0; i < json_array_size(changed); i++) {
                const char *id = json_string_value(json_array_get(changed, i));
                scoped(scoped_free) char *why = reason_to_wait(answer, id);
                /* Only a retry says "tried": what was held, released or moved has been done, though
                 * it may still wait. */
                bool tried = to || !same_text(method, EMAIL("RetryMessages"));
                show_done(tool, "%s: %s%s%s", id, why && !tried ? "" : done, why && tried ? ", " : "",
                          why ? why : "");
        }
        return status;
}

int run_queue_retry(struct tool *tool)
{
        return do_with_ids(tool, EMAIL("RetryMessages"), NULL, "tried now");
}

int run_queue_hold(struct tool *tool)
{
        return do_with_ids(tool, EMAIL("HoldMessages"), NULL, "held");
}

int run_queue_release(struct tool *tool)
{
        return do_with_ids(tool, EMAIL("ReleaseMessages"), NULL, "released");
}

int run_queue_delete(struct tool *tool)
{
        return do_with_ids(tool, EMAIL("DeleteMessages"), NULL, "deleted");
}

int run_queue_reroute(struct tool *tool)
{
        const char *to = tool_option(tool, "account");
        if (!to)
                return tell_usage(tool, "say to which account: --account NAME");
        return do_with_ids(tool, EMAIL("RerouteMessages"), to, "moved");
}

static void show_flushed(const struct tool *tool, const json_t *answer)
{
        scoped(scoped_free) char *why = words_of_wait(json_at(answer, "waitingFor"));
        long long messages = json_number(answer, "messages");
        if (why)
                show_done(tool, "%s: %s", tool_word(tool, 0), why);
        else if (!messages)
                show_done(tool, "%s: nothing waits to be sent", tool_word(tool, 0));
        else
                show_done(tool, "%s: %lld tried now", tool_word(tool, 0), messages);
}

int run_queue_flush(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status =
                call_daemon(tool, EMAIL("FlushQueue"), parameters_of("name", tool_word(tool, 0)), &answer);
        if (status)
                return status;
        if (tool->json)
                show_json(answer);
        else
                show_flushed(tool, answer);
        return status;
}
