/* SPDX-License-Identifier: MIT */
/* `send`: a whole message as it is, or a text made into one; handed over, and waited for when asked. */
#include "common/mailboxes.h"
#include "common/names.h"
#include "common/printable.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/draft.h"
#include "ctl/fields.h"
#include "ctl/read_file.h"
#include "ctl/show.h"
#include "ctl/submit.h"

#include <stdio.h>

/* Values of a repeated option as a NULL-ended list; free it, not its texts. */
static const char **values_of(const struct tool *tool, const char *name)
{
        const char **out = new_zeroed(tool->option_count + 1, sizeof(*out));
        size_t at = 0, count = 0;
        for (const char *value; (value = tool_next_option(tool, name, &at));)
                out[count++] = value;
        return out;
}

static int check_header_option(const struct tool *tool, const char *header)
{
        struct draft_field field;
        size_t at = 0;
        bool fine = draft_next(header, strlen(header), &at, &field) && text_is_clean(header);
        return fine ? EXIT_DONE : tell_usage(tool, "--header '%s' is not NAME: TEXT", header);
}

/* Everything that goes into a header is one line of UTF-8. */
static int check_options(const struct tool *tool)
{
        for (size_t i = 0; i < tool->option_count; i++) {
                const struct given_option *given = &tool->options[i];
                if (given->value && !text_is_clean(given->value))
                        return tell_usage(tool, "--%s must be one line of UTF-8 text", given->rule->name);
                if (same_text(given->rule->name, "header") && check_header_option(tool, given->value))
                        return EXIT_USAGE;
        }
        return EXIT_DONE;
}

/* In the order of the command line, whatever option names them: it is that of the envelope. */
static void add_recipients(const struct tool *tool, json_t *into, struct causes *bad)
{
        static const char *const names[] = { "to", "cc", "bcc" };
        for (size_t i = 0; i < tool->option_count; i++) {
                const struct given_option *given = &tool->options[i];
                for (size_t n = 0; n < count_of(names); n++) {
                        if (!same_text(given->rule->name, names[n]))
                                continue;
                        mailboxes_add(given->value, into, bad);
                }
        }
}

/* One field for all values of an option, as a message has no more than one of To and Cc (RFC 5322
 * section 3.6); folded at each value. */
static int append_fields(const struct tool *tool, const char *option, const char *field, struct buf *out)
{
        size_t at = 0;
        const char *value = tool_next_option(tool, option, &at);
        if (!value)
                return 0;
        if (buf_appendf(out, "%s: %s", field, value))
                return -1;
        while ((value = tool_next_option(tool, option, &at)))
                if (buf_appendf(out, ",\n %s", value))
                        return -1;
        return buf_append_text(out, "\n");
}

/* The input as the body, under a header made of the options; draft_mend() adds what must be there.
 * Bcc is part of the envelope alone. */
static int write_text(const struct tool *tool, const struct buf *text, struct buf *out)
{
        const char *from = tool_option(tool, "from"), *subject = tool_option(tool, "subject");
        size_t at = 0;
        int failed = from && from[0] && !same_text(from, "<>") ? buf_appendf(out, "From: %s\n", from) : 0;
        failed = failed || append_fields(tool, "to", "To", out) || append_fields(tool, "cc", "Cc", out);
        if (subject && !failed)
                failed = buf_appendf(out, "Subject: %s\n", subject);
        for (const char *header; !failed && (header = tool_next_option(tool, "header", &at));)
                failed = buf_appendf(out, "%s\n", header);
        failed = failed || buf_append_text(out, "\n");
        return failed || (text->len && buf_append(out, buf_bytes(text), text->len)) ? -1 : 0;
}

/* All values of an option as lists of addresses of a header, NULL-ended; each item is one where it can be: a
 * local name before a comma would be taken for a part of what follows. */
static const char **header_lists(const struct tool *tool, const char *name)
{
        const char **out = new_zeroed(1, sizeof *out);
        size_t at = 0, count = 0;
        for (const char *value; (value = tool_next_option(tool, name, &at));) {
                bool whole = strpbrk(value, ":;") != NULL;
                while (*value) {
                        size_t len = whole ? strlen(value) : mailbox_item(value);
                        scoped(scoped_free) char *item = copy_bytes(value, len);
                        out = new_resized(out, count + 2, sizeof *out);
                        out[count++] = field_ascii_addresses(item);
                        out[count] = NULL;
                        value += len + (value[len] != 0);
                }
        }
        return out;
}

static void lists_free(const char ***lists)
{
        for (const char **list = *lists; *list; list++)
                free((char *)(uintptr_t)*list);
        free(*lists);
}

static int compose_by_mime(const struct tool *tool, const struct buf *text,
                           struct tool_submission *submission, struct cause *cause)
{
        scoped(lists_free) const char **to = header_lists(tool, "to");
        scoped(lists_free) const char **cc = header_lists(tool, "cc");
        scoped(scoped_free) const char **headers = values_of(tool, "header");
        scoped(scoped_free) const char **files = values_of(tool, "attach");
        const char *given = tool_option(tool, "from");
        scoped(scoped_free) char *from =
                given && given[0] && !same_text(given, "<>") ? field_ascii_addresses(given) : NULL;
        struct mime_draft draft = {
                .from = from,
                .subject = tool_option(tool, "subject"),
                .to = to,
                .cc = cc,
                .headers = headers,
                .files = files,
                .text = text->len ? (const char *)buf_bytes(text) : "",
                .text_len = text->len,
        };
        return submission_compose(submission, &draft, cause);
}

/* --header fields before those of a whole message. */
static int prepend_headers(const struct tool *tool, const struct buf *text, struct buf *out)
{
        size_t at = 0;
        for (const char *header; (header = tool_next_option(tool, "header", &at));)
                if (buf_appendf(out, "%s\n", header))
                        return -1;
        return text->len ? buf_append(out, buf_bytes(text), text->len) : 0;
}

/* A subject or an attachment says that the input is a text. Without them, input that begins with a
 * header is a message, and stays as it is. */
static int make_letter(const struct tool *tool, const struct buf *input, struct tool_submission *submission,
                       struct cause *cause)
{
        bool text_wanted = tool_has(tool, "subject") || tool_has(tool, "attach");
        const char *bytes = input->len ? (const char *)buf_bytes(input) : "";
        int failed;
        if (!text_wanted && draft_has_header(bytes, input->len))
                failed = prepend_headers(tool, input, &submission->draft);
        else if (!tool_has(tool, "attach"))
                failed = write_text(tool, input, &submission->draft);
        else
                return compose_by_mime(tool, input, submission, cause);
        if (failed)
                return cause_set(cause, CAUSE_TOO_LARGE, "the message is larger than 1 GiB");
        return submission_complete(submission, cause) || submission_encode(submission, cause) ? -1 : 0;
}

/* Every recipient that can be one; the others are told of, and are no reason to keep the message from these.
 */
static int find_recipients(const struct tool *tool, const struct buf *input, json_t *into,
                           struct cause *cause)
{
        scoped(causes_free) struct causes bad = { 0 };
        add_recipients(tool, into, &bad);
        if (!json_array_size(into) && !bad.count && !tool_has(tool, "subject") && input->len) {
                draft_recipients((const char *)buf_bytes(input), input->len, into, &bad);
        }
        bool any = json_array_size(into) > 0 && !mailboxes_too_many(&bad);
        for (size_t i = 0; any && i < bad.count; i++) {
                scoped(scoped_free) char *text = printable_text(bad.items[i].text);
                fprintf(stderr, "emailsecctl: %s; the other recipients get the message\n", text);
        }
        if (any)
                return 0;
        if (bad.count) {
                *cause = bad.items[0];
                return -1;
        }
        (void)cause_set(cause, CAUSE_INVALID, "the message has no recipient");
        cause_remedy(cause, "say --to ADDRESS");
        return -1;
}

static int prepare(const struct tool *tool, struct tool_submission *submission, struct cause *cause)
{
        scoped(buf_free) struct buf input = BUF_WITH_MAX(LIMIT_DRAFT);
        const char *file = tool_word(tool, 0);
        if (term_input() && (!file || same_text(file, "-")))
                term_note(tool,
                          "The message is read from the terminal; Ctrl-D at the begin of a line ends it.");
        if (read_file_whole(file, &input, cause))
                return -1;
        draft_mend_front(&input);
        return find_recipients(tool, &input, submission->recipients, cause) ||
                               make_letter(tool, &input, submission, cause)
                       ? -1
                       : 0;
}

/* The envelope sender of --from: an address, "" for the null sender, NULL for the account's own. */
static char *sender_of(const struct tool *tool)
{
        const char *from = tool_option(tool, "from");
        if (!from)
                return NULL;
        scoped(causes_free) struct causes bad = { 0 };
        scoped(scoped_json) json_t *one = json_array();
        if (from[0] && !same_text(from, "<>"))
                mailboxes_add(from, one, &bad);
        const char *address = json_string_value(json_array_get(one, 0));
        return copy_text(address     ? address
                         : bad.count ? from
                                     : ""); /* the daemon says what is wrong with it */
}

/* Why it is not sent: the words of the server to the first recipient in that state, else the message's cause.
 */
static const char *words_of(const json_t *message, const char *state)
{
        size_t index;
        const json_t *recipient;
        json_array_foreach(json_at(message, "recipients"), index, recipient) {
                const char *reply = json_text(recipient, "reply");
                if (same_text(json_text(recipient, "state"), state) && reply[0])
                        return reply;
        }
        return json_text(message, "cause");
}

/* What a message waits for; once it is final, that it is. */
static char *state_line(const json_t *message)
{
        const char *state = json_text(message, "state"), *why = words_of(message, state);
        const json_t *next = json_at(message, "nextAttempt");
        scoped(scoped_free) char *time = json_is_string(next) ? date_words(next) : NULL;
        bool later = time && !same_text(state, "sending") && !same_text(state, "queued");

        return text_of("%s%s%s%s%s", state, later ? " until " : "", later ? time : "", why[0] ? ": " : "",
                       why);
}

struct waited {
        json_t *message;
        char *told; /* the last line: attempts that end alike are told once */
};

static void waited_done(struct waited *waited)
{
        json_decref(waited->message);
        free(waited->told);
}

static int hear_state(struct tool *tool, const json_t *answer, void *arg)
{
        struct waited *waited = arg;
        json_t *message = json_object_get(answer, "message");
        const char *state = json_text(message, "state");
        json_decref(waited->message);
        waited->message = json_incref(message);
        if (same_text(state, "failed") || same_text(state, "held")) /* these are told in full */
                return EXIT_DONE;
        char *line = state_line(message);
        if (!waited->told || !same_text(line, waited->told))
                term_note(tool, "%s", line);
        free(waited->told);
        waited->told = line;
        return EXIT_DONE;
}

static int wait_until_sent(struct tool *tool, const char *id)
{
        scoped(waited_done) struct waited waited = { 0 };
        int status = call_stream(tool, EMAIL("WaitMessage"), parameters_of("id", id), hear_state, &waited);
        if (status)
                return status;
        const json_t *message = waited.message;
        const char *state = json_text(message, "state");
        if (tool->json)
                show_json(message);
        if (same_text(state, "sent"))
                return EXIT_DONE;
        /* It has failed, or is held, which a person has to end: nothing is waited for any more. */
        const char *why = words_of(message, state);
        struct cause cause;
        (void)cause_set(&cause, CAUSE_REFUSED, "%s is %s%s%s", id, state, why[0] ? ": " : "", why);
        cause_remedy(&cause, "emailsecctl queue show %s", id);
        return tell_cause(&cause);
}

static int hand_over(struct tool *tool, struct tool_submission *submission)
{
        scoped(causes_free) struct causes failures = { 0 };
        scoped(scoped_json) json_t *answer = NULL;
        if (submission_send(tool, submission, &answer, &failures))
                return tell_causes(&failures);
        bool wait = tool_has(tool, "wait");
        const char *id = json_text(answer, "id");
        scoped(scoped_free) char *safe = printable_text(id);
        if (tool->json && !wait)
                show_json(answer);
        else if (!tool->json)
                printf("%s\n", safe);
        /* A script has the id even if the wait is cut off. */
        fflush(stdout);
        return wait ? wait_until_sent(tool, id) : EXIT_DONE;
}

int run_send(struct tool *tool)
{
        int status = check_options(tool);
        if (status)
                return status;
        scoped(submission_done) struct tool_submission submission;
        submission_init(&submission);
        scoped(scoped_free) char *from = sender_of(tool);
        submission.account = tool_option(tool, "account");
        submission.from = from;
        submission.key = tool_option(tool, "key");
        submission.priority = tool_option(tool, "priority");
        submission.hold = tool_has(tool, "hold");
        submission.watched = true;
        submission.notify = tool_option(tool, "notify");
        submission.ret = tool_option(tool, "return");
        submission.envelope_id = tool_option(tool, "envelope-id");
        struct cause cause = { 0 };
        /* Wrong words are told before a message is read. */
        static const char *const names[] = { "--notify", "--return", "--envelope-id" };
        if (submission_check_reports(&submission, names, &cause))
                return tell_usage(tool, "%s", cause.text);
        if (prepare(tool, &submission, &cause))
                return tell_cause(&cause);
        return hand_over(tool, &submission);
}
