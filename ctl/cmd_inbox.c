/* SPDX-License-Identifier: MIT */
/* `inbox ...`: received mail, decoded here and never in the daemon. */
#include "common/json_fields.h"
#include "common/printable.h"
#include "common/times.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/mime_load.h"
#include "ctl/show.h"
#include "ctl/submit.h"
#include "ctl/view.h"

#include <errno.h>
#include <unistd.h>

static bool is_encoded_word(const char *text)
{
        return strstr(text, "=?") != NULL;
}

/* Fields come as they stand in the message; =?...?= is decoded where there is any. */
static char *header_words(const json_t *value)
{
        const char *text = json_string_value(value);
        const struct mime_functions *mime = text && is_encoded_word(text) ? mime_load(NULL) : NULL;
        scoped(scoped_free) char *decoded = mime ? mime->decode(text) : NULL;
        return decoded ? printable_text(decoded) : json_words(value);
}

enum { PAGE = 10000 };                   /* the daemon's most */

static const struct column inbox_columns[] = {
        { "ID", "id", NULL, COLUMN_WHOLE },           { "RECEIVED", "received", date_words, 0 },
        { "SIZE", "size", size_words, COLUMN_RIGHT }, { "FROM", "from", header_words, COLUMN_BELOW },
        { "SUBJECT", "subject", header_words, COLUMN_BELOW },
};

/* Pages of the newest messages, as they came: the newest page first. */
static int read_pages(struct tool *tool, int64_t wanted, json_t *pages, int64_t *shown, int64_t *total)
{
        scoped(scoped_free) char *after = NULL;
        do {
                scoped(scoped_json) json_t *answer = NULL;
                json_t *parameters = parameters_of("name", tool_word(tool, 0));
                parameter_text(parameters, "after", after);
                json_put(parameters, "limit", json_integer(wanted - *shown < PAGE ? wanted - *shown : PAGE));
                int status = call_daemon(tool, EMAIL("ListInbox"), parameters, &answer);
                if (status)
                        return status;
                *shown += (int64_t)json_array_size(json_at(answer, "messages"));
                *total = json_number(answer, "total");
                (void)json_array_append_new(pages, json_incref(json_object_get(answer, "messages")));
                free(after);
                after = copy_text(json_string_value(json_at(answer, "next")));
        } while (after && after[0] && *shown < wanted);
        return EXIT_DONE;
}

/* How many are asked for; -1: what was given is no number. */
static int64_t limit_given(const struct tool *tool)
{
        const char *text = tool_option(tool, "limit");
        if (!text)
                return tool_has(tool, "all") ? INT64_MAX : PAGE;
        size_t digits = strspn(text, "0123456789");
        bool good = digits > 0 && digits < 16 && !text[digits] && strtoll(text, NULL, 10) > 0;
        return good ? strtoll(text, NULL, 10) : -1;
}

int run_inbox_list(struct tool *tool)
{
        struct listing listing = { .tool = tool, .columns = inbox_columns, .column_count = count_of(inbox_columns) };
        scoped(scoped_json) json_t *pages = json_array();
        int64_t wanted = limit_given(tool), shown = 0, total = 0;
        if (wanted < 0)
                return tell_usage(tool, "--limit takes a number of messages");
        int status = read_pages(tool, wanted, pages, &shown, &total);
        if (status)
                return status;
        for (size_t i = json_array_size(pages); i-- > 0;)
                listing_page(&listing, json_array_get(pages, i));
        listing_end(&listing, "Nothing was received yet.");
        if (shown < total) {
                fflush(stdout);
                fprintf(stderr, "%lld of %lld messages, the newest ones: --all shows all, --limit N so many.\n",
                        (long long)shown, (long long)total);
        }
        return EXIT_DONE;
}

static int copy_raw(int fd)
{
        char piece[65536];
        for (;;) {
                ssize_t got = read(fd, piece, sizeof(piece));
                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return got ? -1 : 0;
                if (fwrite(piece, 1, (size_t)got, stdout) != (size_t)got)
                        return -1;
        }
}

static void show_field(const char *label, const char *value)
{
        if (!value)
                return;
        scoped(scoped_free) char *safe = printable_text(value);
        printf("%s%s:%s %s\n", term_tint(TINT_STRONG), label, term_plain(), safe);
}

/* A mail's line ends are CRLF; on a terminal the CR would show as an escape. One in the middle of a line still does. */
static char *without_cr(const char *text)
{
        char *lines = copy_text(text), *to = lines;

        for (const char *from = text; *from; from++)
                if (from[0] != '\r' || from[1] != '\n')
                        *to++ = *from;
        *to = '\0';
        return lines;
}

static void show_attachments(const struct view *view)
{
        for (size_t i = 0; i < view->attachment_count; i++) {
                char size[32];
                size_text(view->attachments[i].size, size);
                const char *name = view->attachments[i].name;
                scoped(scoped_free) char *text = text_of("%s, %s, %s", name ? name : "without a name",
                                                         view->attachments[i].type, size);
                show_field("Attachment", text);
        }
}

static void show_view(const struct view *view)
{
        show_field("From", view->from);
        show_field("To", view->to);
        show_field("Cc", view->cc);
        show_field("Date", view->date);
        show_field("Subject", view->subject);
        show_attachments(view);
        if (view->html)
                show_field("Remark", "there is no plain text, this is the HTML");
        show_field("Remark", view->remark);
        puts("");
        scoped(scoped_free) char *lines = without_cr(view->text ? view->text : "");
        scoped(scoped_free) char *text = printable_lines(lines);
        fputs(text, stdout);
        if (text[0] && text[strlen(text) - 1] != '\n')
                puts("");
        if (view->cut)
                puts("[there is more: --raw shows all of it]");
}

/* The fields of the socket, and what was found in the file. */
static json_t *view_json(const json_t *message, const struct view *view)
{
        json_t *out = json_deep_copy(message), *attachments = json_array();
        json_put_text(out, "from", view->from);
        json_put_text(out, "to", view->to);
        json_put_text(out, "cc", view->cc);
        json_put_text(out, "subject", view->subject);
        json_put_text(out, "text", view->text);
        json_put_text(out, "remark", view->remark);
        for (size_t i = 0; i < view->attachment_count; i++) {
                json_t *one = json_object();
                json_put_text(one, "name", view->attachments[i].name);
                json_put_text(one, "type", view->attachments[i].type);
                json_put(one, "size", json_integer((json_int_t)view->attachments[i].size));
                (void)json_array_append_new(attachments, one);
        }
        json_put(out, "attachments", attachments);
        return out;
}

static int show_decoded(struct tool *tool, const json_t *message, int fd)
{
        struct cause cause = { 0 };
        struct view view = { 0 };
        scoped(buf_free) struct buf bytes = BUF_WITH_MAX(LIMIT_LETTER);
        if (submission_read_all(fd, &bytes, &cause))
                return tell_cause(&cause);
        const char *text = bytes.len ? (const char *)buf_bytes(&bytes) : "";
        const struct mime_functions *mime = memmem(text, bytes.len, "=?", 2) ? mime_load(NULL) : NULL;
        view_read(text, bytes.len, mime ? mime->decode : NULL, &view);
        if (tool->json) {
                scoped(scoped_json) json_t *out = view_json(message, &view);
                show_json(out);
        } else {
                term_pager_open(tool);
                show_view(&view);
        }
        view_done(&view);
        return EXIT_DONE;
}

int run_inbox_show(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        json_t *parameters = parameters_of("name", tool_word(tool, 0));
        parameter_text(parameters, "id", tool_word(tool, 1));
        int status = call_daemon(tool, EMAIL("OpenInboxMessage"), parameters, &answer);
        if (status)
                return status;
        scoped(scoped_close) int fd = call_take_fd(tool, (size_t)json_number(answer, "descriptor"));
        struct cause cause;
        if (fd < 0) {
                (void)cause_set(&cause, CAUSE_INTERNAL, "the daemon sent no file along");
                return tell_cause(&cause);
        }
        if (!tool_has(tool, "raw"))
                return show_decoded(tool, json_at(answer, "message"), fd);
        if (!copy_raw(fd))
                return EXIT_DONE;
        (void)cause_errno(&cause, errno, "copying the message");
        return tell_cause(&cause);
}

/* Seconds of --older-than; -1: it is no duration. */
static int64_t age_given(const char *text, struct cause *cause)
{
        int64_t seconds = 0;
        return duration_parse(text, &seconds, cause) < 0 ? -1 : seconds;
}

int run_inbox_delete(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        const char *age = tool_option(tool, "older-than");
        struct cause cause = { 0 };
        int64_t seconds = age ? age_given(age, &cause) : 0;
        if (seconds < 0)
                return tell_usage(tool, "%s", cause.text);
        if ((tool->word_count > 1) == (age != NULL))
                return tell_usage(tool, "say which: IDs, or --older-than 30d");
        json_t *parameters = parameters_of("name", tool_word(tool, 0)), *ids = json_array();
        for (size_t i = 1; i < tool->word_count; i++)
                (void)json_array_append_new(ids, json_string(tool->words[i]));
        json_put(parameters, age ? "olderThan" : "ids", age ? json_integer(seconds) : json_incref(ids));
        json_decref(ids);
        int status = call_daemon(tool, EMAIL("DeleteInboxMessages"), parameters, &answer);
        if (status)
                return status;
        if (tool->json)
                show_json(answer);
        int64_t count = json_number(answer, "count");
        show_done(tool, "%lld message%s deleted", (long long)count, count == 1 ? "" : "s");
        return EXIT_DONE;
}

static int forget_missing(struct tool *tool, const char *id)
{
        scoped(scoped_json) json_t *answer = NULL;
        json_t *parameters = parameters_of("name", tool_word(tool, 0));
        if (!same_text(id, "all"))
                parameter_text(parameters, "id", id);
        int status = call_daemon(tool, EMAIL("ForgetMissing"), parameters, &answer);
        int64_t count = status ? 0 : json_number(answer, "count");
        struct cause cause;
        if (status)
                return status;
        if (!count && !same_text(id, "all")) {
                (void)cause_set(&cause, CAUSE_NOT_FOUND, "no missing message has the id %s", id);
                cause_remedy(&cause, "emailsecctl inbox missing %s", tool_word(tool, 0));
                return tell_cause(&cause);
        }
        if (tool->json)
                show_json(answer);
        else
                printf("%lld message%s forgotten: not asked for again.\n", (long long)count, count == 1 ? "" : "s");
        return EXIT_DONE;
}

int run_inbox_missing(struct tool *tool)
{
        static const struct column columns[] = {
                { "ID", "id", NULL, COLUMN_WHOLE },           { "FOLDER", "folder", NULL, 0 },
                { "SIZE", "size", size_words, COLUMN_RIGHT }, { "SINCE", "since", date_words, 0 },
                { "TRIES", "tries", NULL, COLUMN_RIGHT },     { "NEXT", "next", date_words, 0 },
                { "CAUSE", "cause", NULL, COLUMN_BELOW },
        };
        scoped(scoped_json) json_t *answer = NULL;
        const char *forget = tool_option(tool, "forget");
        if (forget)
                return forget_missing(tool, forget);
        int status =
                call_daemon(tool, EMAIL("ListMissing"), parameters_of("name", tool_word(tool, 0)), &answer);
        if (!status)
                show_list(tool, columns, count_of(columns), json_at(answer, "messages"), "Nothing is missing.");
        return status;
}
