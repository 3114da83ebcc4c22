/* SPDX-License-Identifier: MIT */
/*
 * The sendmail form: what cron, smartd, mdadm, mailx, git send-email and mutt call. Reads its own command
 * line, answers in sysexits codes, and does no more than it must: one connection, one call.
 */
#include "ctl/sendmail.h"
#include "common/mailboxes.h"
#include "common/names.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/draft.h"
#include "ctl/read_file.h"
#include "ctl/submit.h"

#include <stdio.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

/* NOTHING is what newaliases and -I ask for: there is nothing to rebuild here. */
enum sendmail_mode { MODE_SEND, MODE_LIST, MODE_FLUSH, MODE_NOTHING, MODE_SMTP, MODE_REFUSED };

struct form {
        struct tool *tool;
        size_t next;             /* word to look at */
        const char **recipients; /* words that are no options; owned */
        size_t recipient_count;
        enum sendmail_mode mode;
        bool from_header;   /* -t */
        bool dots_are_text; /* -i, -oi */
        const char *sender, *full_name;
        const char *notify, *ret, *envelope_id; /* -N, -R, -V */
        const char *body;                       /* -B */
        const char *refused;                    /* the word that cannot be served */
};

/* Options by their letter. A value follows in the same word or the next. */
typedef void take_option(struct form *form, const char *value);

static void take_sender(struct form *form, const char *value)
{
        form->sender = value;
}
static void take_full_name(struct form *form, const char *value)
{
        form->full_name = value;
}
static void take_notify(struct form *form, const char *value)
{
        form->notify = value;
}
static void take_return(struct form *form, const char *value)
{
        form->ret = value;
}
static void take_envelope_id(struct form *form, const char *value)
{
        form->envelope_id = value;
}
static void take_body(struct form *form, const char *value)
{
        form->body = value;
}
static void take_header(struct form *form, const char *value)
{
        (void)value;
        form->from_header = true;
}
static void take_dots(struct form *form, const char *value)
{
        (void)value;
        form->dots_are_text = true;
}
static void take_flush(struct form *form, const char *value)
{
        (void)value;
        form->mode = MODE_FLUSH;
}
static void take_mode(struct form *form, const char *value)
{
        switch (value[0]) {
        case 'm':
                form->mode = MODE_SEND;
                break;
        case 'p':
                form->mode = MODE_LIST;
                break;
        case 's':
                form->mode = MODE_SMTP;
                break;
        case 'i': /* newaliases: aliases are read again by themselves */
                form->mode = MODE_NOTHING;
                break;
        default:
                form->mode = MODE_REFUSED;
                form->refused = value;
        }
}
/* -oi, -om, "-o m", -oMr VALUE (Exim's, whose value is the next word), -o7, -oQDIR. */
static void take_old_option(struct form *form, const char *value)
{
        const char *next = tool_word(form->tool, form->next);
        bool wants = !value[0] || (value[0] == 'M' && strlen(value) <= 3);
        if (wants && next && next[0] != '-')
                form->next++;
        if (!value[0] && next)
                value = next;
        if (value[0] == 'i')
                form->dots_are_text = true;
}
static void take_nothing_to_do(struct form *form, const char *value)
{
        (void)value;
        form->mode = MODE_NOTHING;
}

/* ALONE: other letters may follow in the word. ATTACHED: the rest of the word, which may be empty.
 * WITH_VALUE: the rest of the word, or else the next one. */
enum option_shape { ALONE, ATTACHED, WITH_VALUE };

/* Options that the sendmail of others has are taken and left without effect: a caller must not lose
 * its mail by one that means nothing here. A letter that nobody has is refused. */
static const struct {
        char letter;
        enum option_shape shape;
        take_option *heard; /* NULL: understood, and of no consequence here */
} form_options[] = {
        { 't', ALONE, take_header },
        { 'I', ALONE, take_nothing_to_do },
        { 'i', ALONE, take_dots },
        { 'f', WITH_VALUE, take_sender },
        { 'r', WITH_VALUE, take_sender },
        { 'F', WITH_VALUE, take_full_name },
        { 'b', ATTACHED, take_mode },
        { 'q', ATTACHED, take_flush },
        { 'o', ATTACHED, take_old_option },
        { 'B', WITH_VALUE, take_body },
        { 'N', WITH_VALUE, take_notify },
        { 'R', WITH_VALUE, take_return },
        { 'V', WITH_VALUE, take_envelope_id },
        { 'O', WITH_VALUE, NULL },
        { 'C', WITH_VALUE, NULL },
        { 'X', WITH_VALUE, NULL },
        { 'L', WITH_VALUE, NULL },
        { 'p', WITH_VALUE, NULL },
        { 'h', WITH_VALUE, NULL },
        { 'd', ATTACHED, NULL },
        { 'e', ATTACHED, NULL },
        { 'A', ATTACHED, NULL },
        { 'D', WITH_VALUE, NULL },
        { 'x', ALONE, NULL },
        { 'T', ALONE, NULL },
        { 'E', ALONE, NULL },
        { 'm', ALONE, NULL },
        { 'n', ALONE, NULL },
        { 'v', ALONE, NULL },
        { 'U', ALONE, NULL },
        { 'G', ALONE, NULL },
        { 's', ALONE, NULL },
};

/* One word of options: switches may stand together ("-ti"). */
static int read_option_word(struct form *form, const char *letters)
{
        while (*letters) {
                size_t i = 0;
                while (i < count_of(form_options) && form_options[i].letter != *letters)
                        i++;
                if (i == count_of(form_options)) {
                        fprintf(stderr, "sendmail: there is no option -%c\n", *letters);
                        return EX_USAGE;
                }
                letters++;
                const char *value = "";
                if (form_options[i].shape != ALONE) {
                        value = letters;
                        letters = "";
                }
                if (form_options[i].shape == WITH_VALUE && !value[0])
                        value = tool_word(form->tool, form->next++);
                if (!value) {
                        fprintf(stderr, "sendmail: -%c needs a value\n", form_options[i].letter);
                        return EX_USAGE;
                }
                if (form_options[i].heard)
                        form_options[i].heard(form, value);
        }
        return EX_OK;
}

/* Says it, and gives the status of sysexits.h. Callers keep the mail at EX_TEMPFAIL and try again:
 * that is for what passes by itself, all else would be tried for ever. */
static int told(const struct cause *cause)
{
        static const struct {
                enum cause_code code;
                int status;
        } statuses[] = {
                { CAUSE_NO_DAEMON, EX_TEMPFAIL },  { CAUSE_BUSY, EX_TEMPFAIL },
                { CAUSE_QUEUE_FULL, EX_TEMPFAIL }, { CAUSE_STORAGE, EX_TEMPFAIL },
                { CAUSE_INTERNAL, EX_TEMPFAIL },   { CAUSE_PERMISSION, EX_NOPERM },
                { CAUSE_CLOSED, EX_TEMPFAIL },     { CAUSE_CANCELLED, EX_TEMPFAIL },
                { CAUSE_NOT_FOUND, EX_CONFIG },    { CAUSE_TOO_LARGE, EX_DATAERR },
                { CAUSE_UNSENDABLE, EX_DATAERR },  { CAUSE_INVALID, EX_DATAERR },
        };
        (void)tell_cause(cause);
        /* The message is well, and no account takes it: the station is to be mended. */
        if (same_text(cause->property, "account"))
                return EX_CONFIG;
        for (size_t i = 0; i < count_of(statuses); i++)
                if (statuses[i].code == cause->code)
                        return statuses[i].status;
        return EX_UNAVAILABLE;
}

/* There is one status for all: the first failure decides. */
static int told_first(const struct causes *failures)
{
        return told(&failures->items[0]);
}

/* ---- sending ---- */

static int read_input(struct form *form, struct tool_submission *submission)
{
        struct cause cause = { 0 };
        if (!read_file_rest(STDIN_FILENO, &submission->draft, !form->dots_are_text, &cause))
                return EX_OK;
        (void)tell_cause(&cause);
        return cause.code == CAUSE_TOO_LARGE ? EX_DATAERR : EX_NOINPUT;
}

/* -N, -R, -V and -B: wrong words are told before a message is read. */
static int take_wishes(const struct form *form, struct tool_submission *submission)
{
        static const char *const names[] = { "-N", "-R", "-V" };
        struct cause cause = { 0 };

        submission->notify = form->notify;
        submission->ret = form->ret;
        submission->envelope_id = form->envelope_id;
        if (submission_check_reports(submission, names, &cause)) {
                fprintf(stderr, "sendmail: %s\n", cause.text);
                return EX_USAGE;
        }
        if (!form->body)
                return EX_OK;
        bool seven = strcasecmp(form->body, "7BIT") == 0;
        if (!seven && strcasecmp(form->body, "8BITMIME") != 0) {
                (void)cause_set(&cause, CAUSE_INVALID, "-B: \"%s\" is neither 7BIT nor 8BITMIME", form->body);
                fprintf(stderr, "sendmail: %s\n", cause.text);
                return EX_USAGE;
        }
        submission->body = seven ? BODY_7BIT : BODY_8BITMIME;
        return EX_OK;
}

static void tell_bad_recipients(const struct causes *bad)
{
        for (size_t i = 0; i < bad->count; i++)
                submission_tell_left_out("sendmail", bad->items[i].text);
}

/* What a program put together of somebody's words may hold a line end, and another field behind it. */
static bool is_one_line(const char *word, const char *what, struct causes *bad)
{
        if (!word || !word[strcspn(word, "\r\n\v\f\x7f")])
                return true;
        (void)cause_set(causes_add(bad), CAUSE_INVALID, "%s is more than one line: %.200s", what, word);
        return false;
}

/* One good recipient is enough: mail of cron or smartd goes to those it can reach, the others are
 * told. Where none is good, the first that is not decides the status. */
static int find_recipients(struct form *form, struct tool_submission *submission)
{
        scoped(causes_free) struct causes bad = { 0 };
        const struct buf *draft = &submission->draft;
        json_t *into = submission->recipients;
        for (size_t i = 0; i < form->recipient_count; i++)
                if (is_one_line(form->recipients[i], "a recipient on the command line", &bad))
                        mailboxes_add(form->recipients[i], into, &bad);
        if (form->from_header)
                draft_recipients((const char *)buf_bytes(draft), draft->len, into, &bad);
        if (json_array_size(into) > 0 && !mailboxes_too_many(&bad)) {
                if (bad.count)
                        tell_bad_recipients(&bad);
                return EX_OK;
        }
        if (bad.count)
                return told_first(&bad);
        fputs(form->from_header ? "sendmail: the message names no recipient in To, Cc or Bcc\n"
                                : "sendmail: no recipient was given\n",
              stderr);
        return EX_USAGE;
}

/* "Full Name <address>" for a message that has no From; the name is quoted as RFC 5322 wants it. */
static int add_from(struct form *form, struct tool_submission *submission, const char *address)
{
        struct buf *draft = &submission->draft;
        scoped(scoped_free) char *there = draft_find((const char *)buf_bytes(draft), draft->len, "From");
        if (there || !form->full_name || !address || !address[0] || !text_is_clean(form->full_name))
                return 0;
        scoped(buf_free) struct buf with = BUF_WITH_MAX(LIMIT_DRAFT);
        int failed = buf_append_text(&with, "From: \"");
        for (const char *c = form->full_name; *c && !failed; c++)
                failed = buf_appendf(&with, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        failed = failed || buf_appendf(&with, "\" <%s>\n", address) ||
                 buf_append(&with, buf_bytes(draft), draft->len);
        if (failed)
                return -1;
        buf_free(draft);
        *draft = with;
        with = (struct buf){ 0 };
        return 0;
}

static int find_sender(struct form *form, struct tool_submission *submission, char **out)
{
        scoped(causes_free) struct causes bad = { 0 };
        if (!form->sender)
                return EX_OK;
        /* The null reverse-path (RFC 5321 section 4.5.5) is an empty text, which is not the same as
         * none. */
        if (!form->sender[0] || same_text(form->sender, "<>")) {
                *out = copy_text("");
        } else {
                scoped(scoped_json) json_t *one = json_array();
                if (is_one_line(form->sender, "the address of -f", &bad))
                        mailboxes_add(form->sender, one, &bad);
                if (bad.count)
                        return told_first(&bad);
                const char *address = json_string_value(json_array_get(one, 0));
                *out = copy_text(address ? address : "");
        }
        submission->from = *out;
        return EX_OK;
}

static int hand_over(struct form *form, struct tool_submission *submission)
{
        scoped(causes_free) struct causes failures = { 0 };
        return submission_send(form->tool, submission, NULL, &failures) ? told_first(&failures) : EX_OK;
}

/* Each step runs while all before it went well. `sender` is declared before the submission that
 * points to it, so that it is freed after it. */
static int send_input(struct form *form)
{
        struct cause cause = { 0 };
        scoped(scoped_free) char *sender = NULL;
        scoped(submission_done) struct tool_submission submission;
        submission_init(&submission);
        submission.program = "sendmail";
        int status = take_wishes(form, &submission);
        if (!status)
                status = read_input(form, &submission);
        if (!status && submission_complete(&submission, &cause))
                status = told(&cause);
        if (!status)
                status = find_recipients(form, &submission);
        if (!status)
                status = find_sender(form, &submission, &sender);
        if (!status && add_from(form, &submission, sender))
                status = EX_DATAERR;
        if (!status && submission_encode(&submission, &cause))
                status = told(&cause);
        return status ? status : hand_over(form, &submission);
}

/* ---- the queue ---- */

/* -bp and -q. */
static int ask_queue(struct tool *tool, int (*ask)(struct tool *tool, struct causes *failures))
{
        scoped(causes_free) struct causes failures = { 0 };
        return ask(tool, &failures) ? told_first(&failures) : EX_OK;
}

static int tell_about_itself(const char *word)
{
        if (same_text(word, "--version"))
                puts("emailsecctl " VERSION ", in the form of sendmail");
        else
                puts("sendmail [-t] [-i] [-f ADDRESS] [-F NAME] [RECIPIENT ...]: the message is read from "
                     "standard input.\n"
                     "The options: man emailsecctl, under sendmail.");
        return EX_OK;
}

/* Options are options wherever they stand; what begins with a hyphen is a recipient behind "--" only. */
static int read_words(struct form *form)
{
        bool options = true;
        for (const char *word; (word = tool_word(form->tool, form->next));) {
                form->next++;
                if (options && same_text(word, "--")) {
                        options = false;
                } else if (options && word[0] == '-' && word[1]) {
                        int status = read_option_word(form, word + 1);
                        if (status)
                                return status;
                } else if (!same_text(word, "-")) {
                        form->recipients[form->recipient_count++] = word;
                }
        }
        return EX_OK;
}

int run_sendmail(struct tool *tool)
{
        /* Any word may be a recipient: there is room for all of them. */
        scoped(scoped_free) const char **recipients = new_zeroed(tool->word_count + 1, sizeof(*recipients));
        struct form form = { .tool = tool, .recipients = recipients };
        const char *first = tool_word(tool, 0);
        if (same_text(first, "--version") || same_text(first, "--help"))
                return tell_about_itself(first);
        int status = read_words(&form);
        if (status)
                return status;
        switch (form.mode) {
        case MODE_SEND:
                return send_input(&form);
        case MODE_LIST:
                return ask_queue(tool, sendmail_list);
        case MODE_FLUSH:
                return ask_queue(tool, sendmail_flush);
        case MODE_NOTHING:
                return EX_OK;
        case MODE_SMTP:
                return sendmail_smtp(tool);
        case MODE_REFUSED:
                break;
        }
        fprintf(stderr, "sendmail: -b%s is not done here\n", form.refused);
        return EX_USAGE;
}
