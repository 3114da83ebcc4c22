/* SPDX-License-Identifier: MIT */
/* `inbox ...`: received mail, decoded here and never in the daemon. */
#include "common/json_fields.h"
#include "common/printable.h"
#include "common/times.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/inbox.h"
#include "ctl/part_load.h"
#include "ctl/read_file.h"
#include "ctl/show.h"
#include "ctl/submit.h"
#include "ctl/view.h"

#include <errno.h>
#include <unistd.h>

enum { PAGE = 10000 }; /* the daemon's most */

static char *new_words(const json_t *value)
{
        return copy_text(json_is_true(value) ? "-" : "new");
}

static const struct column inbox_columns[] = {
        { "ID", "id", NULL, COLUMN_WHOLE },
        { "RECEIVED", "received", date_words, 0 },
        { "NEW", "seen", new_words, 0 },
        { "SIZE", "size", size_words, COLUMN_RIGHT },
        { "FROM", "from", inbox_field_words, COLUMN_BELOW },
        { "SUBJECT", "subject", inbox_field_words, COLUMN_BELOW },
};

/* The messages of a page that are meant, newest last; *ended: older ones are not. */
static json_t *taken_of(const json_t *page, const struct inbox_filter *filter, int64_t room, bool *ended)
{
        json_t *taken = json_array();
        for (size_t i = json_array_size(page);
             i-- > 0 && (int64_t)json_array_size(taken) < room && !*ended;) {
                json_t *message = json_array_get(page, i);
                *ended = inbox_filter_ends(filter, message);
                if (inbox_filter_takes(filter, message))
                        (void)json_array_insert_new(taken, 0, json_incref(message));
        }
        return taken;
}

/* Pages of the newest messages that are meant, as they came: the newest page first. */
static int read_pages(struct tool *tool, const struct inbox_filter *filter, int64_t wanted, json_t *pages,
                      int64_t *shown, int64_t *total)
{
        scoped(scoped_free) char *after = NULL;
        bool ended = false;
        do {
                scoped(scoped_json) json_t *answer = NULL;
                /* With a filter whole pages: how many of one are meant is not known before. */
                int64_t ask = filter->any || wanted - *shown > PAGE ? PAGE : wanted - *shown;
                json_t *parameters = parameters_of("name", tool_word(tool, 0));
                parameter_text(parameters, "after", after);
                json_put(parameters, "limit", json_integer(ask));
                int status = call_daemon(tool, EMAIL("ListInbox"), parameters, &answer);
                if (status)
                        return status;
                json_t *taken =
                        filter->any ? taken_of(json_at(answer, "messages"), filter, wanted - *shown, &ended)
                                    : json_incref(json_object_get(answer, "messages"));
                *shown += (int64_t)json_array_size(taken);
                *total = json_number(answer, "total");
                (void)json_array_append_new(pages, taken);
                free(after);
                after = copy_text(json_string_value(json_at(answer, "next")));
        } while (after && after[0] && *shown < wanted && !ended);
        return EXIT_DONE;
}

/* How many are asked for; -1: what was given is no number. */
static int64_t limit_given(const struct tool *tool, bool filtered)
{
        const char *text = tool_option(tool, "limit");
        if (!text)
                return tool_has(tool, "all") || filtered ? INT64_MAX : PAGE;
        size_t digits = strspn(text, "0123456789");
        bool good = digits > 0 && digits < 16 && !text[digits] && strtoll(text, NULL, 10) > 0;
        return good ? strtoll(text, NULL, 10) : -1;
}

int run_inbox_list(struct tool *tool)
{
        struct listing listing = { .tool = tool,
                                   .columns = inbox_columns,
                                   .column_count = count_of(inbox_columns) };
        scoped(scoped_json) json_t *pages = json_array();
        struct inbox_filter filter;
        int status = inbox_filter_of(tool, &filter);
        int64_t wanted = limit_given(tool, filter.any), shown = 0, total = 0;
        if (!status && wanted < 0)
                return tell_usage(tool, "--limit takes a number of messages");
        if (!status)
                status = read_pages(tool, &filter, wanted, pages, &shown, &total);
        if (status)
                return status;
        /* Read from the newest on, shown from the oldest: the newest stand at the prompt. */
        for (size_t i = json_array_size(pages); i-- > 0;)
                listing_page(&listing, json_array_get(pages, i));
        listing_end(&listing, total ? "No message is like that." : "Nothing was received yet.");
        if (shown < total && !filter.any) {
                fflush(stdout);
                fprintf(stderr,
                        "%lld of %lld messages, the newest ones: --all shows all, --limit N so many.\n",
                        (long long)shown, (long long)total);
        }
        return EXIT_DONE;
}

/* Bytes as they are, with whatever they make a terminal do: for files and programs. */
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

/* A mail's line ends are CRLF; on a terminal the CR would show as an escape. One in the middle of a line
 * still does. */
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

/* All of it is the text of strangers: each piece is escaped. */
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
        scoped(buf_free) struct buf bytes = BUF_WITH_MAX(LIMIT_DRAFT);
        if (read_file_rest(fd, &bytes, false, &cause))
                return tell_cause(&cause);
        const char *text = bytes.len ? (const char *)buf_bytes(&bytes) : "";
        /* GMime is loaded where a field may have encoded words (RFC 2047): most mail is shown
         * without it. */
        const struct mime_functions *mime = memmem(text, bytes.len, "=?", 2) ? mime_load(NULL) : NULL;
        view_read(text, bytes.len, mime ? mime->decode : NULL, false, &view);
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

/* The file of the message that the command line names; *answer holds its fields. -1: the status is in
 * *status. */
static int open_message(struct tool *tool, json_t **answer, int *status)
{
        json_t *parameters = parameters_of("name", tool_word(tool, 0));
        struct cause cause = { 0 };
        parameter_text(parameters, "id", tool_word(tool, 1));
        *status = call_daemon(tool, EMAIL("OpenInboxMessage"), parameters, answer);
        if (*status)
                return -1;
        int fd = call_take_fd(tool, (size_t)json_number(*answer, "descriptor"));
        if (fd < 0) {
                (void)cause_set(&cause, CAUSE_INTERNAL, "the daemon sent no file along");
                *status = tell_cause(&cause);
        }
        return fd;
}

int run_inbox_show(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status;
        scoped(scoped_close) int fd = open_message(tool, &answer, &status);
        struct cause cause;
        if (fd < 0)
                return status;
        if (!tool_has(tool, "raw"))
                return show_decoded(tool, json_at(answer, "message"), fd);
        if (!copy_raw(fd))
                return EXIT_DONE;
        (void)cause_errno(&cause, errno, "copying the message");
        return tell_cause(&cause);
}

int run_inbox_save_attachments(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL, *saved = json_array();
        scoped(buf_free) struct buf bytes = BUF_WITH_MAX(LIMIT_DRAFT);
        struct cause cause = { 0 };
        int status;
        scoped(scoped_close) int fd = open_message(tool, &answer, &status);
        if (fd < 0)
                return status;
        if (read_file_rest(fd, &bytes, false, &cause) ||
            attachments_save(&bytes, !same_text(json_text(answer, "message.lineEnds"), "asReceived"),
                             tool_option(tool, "to"), saved, &cause))
                return tell_cause(&cause);
        if (tool->json)
                show_json(saved);
        for (size_t i = 0; i < json_array_size(saved) && !tool->json; i++) {
                const json_t *one = json_array_get(saved, i);
                scoped(scoped_free) char *path = json_words(json_at(one, "path")),
                                         *size = size_words(json_at(one, "size"));
                printf("%s (%s)\n", path, size);
        }
        if (!json_array_size(saved))
                show_done(tool, "The message has no attachments");
        return EXIT_DONE;
}

/* ---- deleting and marking ---- */

/* Those that the command line names, or chooses. */
static int gather_ids(struct tool *tool, size_t first, const struct inbox_filter *filter, json_t *ids)
{
        scoped(scoped_json) json_t *pages = json_array();
        int64_t shown = 0, total = 0;
        size_t i, k;
        const json_t *page, *message;
        for (i = first; i < tool->word_count; i++)
                (void)json_array_append_new(ids, json_string(tool->words[i]));
        int status = filter->any ? read_pages(tool, filter, INT64_MAX, pages, &shown, &total) : EXIT_DONE;
        json_array_foreach(pages, i, page)
                json_array_foreach(page, k, message)
                        (void)json_array_append_new(ids, json_string(json_text(message, "id")));
        return status;
}

/* One call for so many of them as one call takes; adds up what each did. */
static int change(struct tool *tool, const char *method, json_t *ids, const char *flag, bool value,
                  int64_t *count)
{
        enum { MOST = 20000 };
        for (size_t at = 0; at == 0 || at < json_array_size(ids); at += MOST) {
                scoped(scoped_json) json_t *answer = NULL;
                json_t *parameters = parameters_of("name", tool_word(tool, 0)), *some = json_array();
                for (size_t i = at; i < at + MOST && i < json_array_size(ids); i++)
                        (void)json_array_append(some, json_array_get(ids, i));
                json_put(parameters, "ids", some);
                if (flag)
                        json_put(parameters, flag, json_boolean(value));
                int status = call_daemon(tool, method, parameters, &answer);
                if (status)
                        return status;
                *count += json_number(answer, "count");
        }
        return EXIT_DONE;
}

static int tell_count(const struct tool *tool, int64_t count, const char *what)
{
        scoped(scoped_json) json_t *answer = json_pack("{sI}", "count", (json_int_t)count);
        if (tool->json)
                show_json(answer);
        show_done(tool, "%lld message%s %s", (long long)count, count == 1 ? "" : "s", what);
        return EXIT_DONE;
}

/* Seconds of --older-than; -1: it is no duration. */
static int64_t age_given(const char *text, struct cause *cause)
{
        int64_t seconds = 0;
        return duration_parse(text, &seconds, cause) < 0 ? -1 : seconds;
}

static int delete_old(struct tool *tool, const char *age, int64_t *count)
{
        scoped(scoped_json) json_t *answer = NULL;
        struct cause cause = { 0 };
        int64_t seconds = age_given(age, &cause);
        if (seconds < 0)
                return tell_usage(tool, "%s", cause.text);
        json_t *parameters = parameters_of("name", tool_word(tool, 0));
        json_put(parameters, "olderThan", json_integer(seconds));
        int status = call_daemon(tool, EMAIL("DeleteInboxMessages"), parameters, &answer);
        *count = status ? 0 : json_number(answer, "count");
        return status;
}

int run_inbox_delete(struct tool *tool)
{
        scoped(scoped_json) json_t *ids = json_array();
        const char *age = tool_option(tool, "older-than");
        struct inbox_filter filter;
        int64_t count = 0;
        int status = inbox_filter_of(tool, &filter);
        if (status)
                return status;
        if ((tool->word_count > 1) + (age != NULL) + filter.any != 1)
                return tell_usage(
                        tool, "say which: IDs, or --older-than 30d, or --from, --subject, --since, --before");
        status = age ? delete_old(tool, age, &count) : gather_ids(tool, 1, &filter, ids);
        if (!status && !age && json_array_size(ids))
                status = change(tool, EMAIL("DeleteInboxMessages"), ids, NULL, false, &count);
        return status ? status : tell_count(tool, count, "deleted");
}

int run_inbox_mark(struct tool *tool)
{
        scoped(scoped_json) json_t *ids = json_array();
        struct inbox_filter filter;
        int64_t count = 0;
        bool seen = same_text(tool_word(tool, 1), "seen");
        int status = inbox_filter_of(tool, &filter);
        if (status)
                return status;
        if ((tool->word_count > 2) == filter.any)
                return tell_usage(tool, "say which: IDs, or --from, --subject, --since, --before");
        status = gather_ids(tool, 2, &filter, ids);
        if (!status && json_array_size(ids))
                status = change(tool, EMAIL("MarkInboxMessages"), ids, "seen", seen, &count);
        return status ? status : tell_count(tool, count, seen ? "marked as seen" : "marked as not seen");
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
                printf("%lld message%s forgotten: not asked for again.\n", (long long)count,
                       count == 1 ? "" : "s");
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
        const char *forget = tool_option(tool, "forget");
        if (forget)
                return forget_missing(tool, forget);
        return tool_show_list(tool, EMAIL("ListMissing"), parameters_of("name", tool_word(tool, 0)),
                              "messages", columns, count_of(columns), "Nothing is missing.");
}
