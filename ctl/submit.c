/* SPDX-License-Identifier: MIT */
/* From standard input to the daemon, for `send` and the sendmail form alike. The copy that is handed over
 * lives in a sealed memfd: nobody can change it while the daemon reads. */
#include "ctl/submit.h"

#include "common/dsn.h"
#include "common/json_fields.h"
#include "common/mailboxes.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/times.h"
#include "ctl/call.h"
#include "ctl/draft.h"
#include "ctl/encode.h"
#include "ctl/part_load.h"
#include "ctl/read_file.h"
#include "ctl/show.h"
#include "ctl/term.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

void submission_init(struct tool_submission *submission)
{
        *submission = (struct tool_submission){ .recipients = json_array(),
                                                .draft = BUF_WITH_MAX(LIMIT_DRAFT),
                                                .made = -1 };
}

void submission_done(struct tool_submission *submission)
{
        json_decref(submission->recipients);
        json_decref(submission->notify_each);
        json_decref(submission->originals);
        buf_free(&submission->draft);
        free(submission->author);
        close_fd(&submission->made);
}

int submission_complete(struct tool_submission *submission, struct cause *cause)
{
        return draft_mend(&submission->draft, cause);
}

int submission_encode(struct tool_submission *submission, struct cause *cause)
{
        struct draft_info info;
        struct buf *text = &submission->draft;
        const char *bytes = text->len ? (const char *)buf_bytes(text) : "";
        draft_look(bytes, text->len, &info);
        if (!draft_needs_encoding(&info))
                return 0;
        scoped(buf_free) struct buf encoded = BUF_WITH_MAX(LIMIT_DRAFT);
        if (encode_draft(bytes, text->len, submission->body, &encoded, cause))
                return -1;
        /* The old text goes at the end of the scope. */
        struct buf old = *text;
        *text = encoded;
        encoded = old;
        return 0;
}

/* In memory: a file would have a place, rights and a life after a crash to look after.
 * MFD_ALLOW_SEALING for seal(). */
static int make_place(struct tool_submission *submission, struct cause *cause)
{
        submission->made = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return submission->made < 0 ? cause_errno(cause, errno, "memory for the message") : 0;
}

static int open_attachment(const char *path, char error[256])
{
        struct cause cause = { 0 };
        int fd = read_file_open(path, &cause);

        if (fd < 0)
                (void)snprintf(error, 256, "%.255s", cause.text);
        return fd;
}

int submission_compose(struct tool_submission *submission, struct mime_draft *draft, struct cause *cause)
{
        char error[256] = "";
        const struct mime_functions *mime = mime_load(cause);
        if (!mime || make_place(submission, cause))
                return -1;
        draft->most = LIMIT_DRAFT / 4 * 3; /* base64 makes four bytes of three */
        draft->open_file = open_attachment;
        return mime->compose(draft, submission->made, error) ? cause_set(cause, CAUSE_INVALID, "%s", error)
                                                             : 0;
}

/* What is in `draft` goes to its place; from here on nobody can change it. */
static int seal(struct tool_submission *submission, struct cause *cause)
{
        const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
        const struct buf *draft = &submission->draft;
        if (submission->made < 0 && make_place(submission, cause))
                return -1;
        /* Read from its beginning: the offset is that of the open file, which the daemon shares. */
        if (tool_write(submission->made, buf_bytes(draft), draft->len) ||
            fcntl(submission->made, F_ADD_SEALS, seals) || lseek(submission->made, 0, SEEK_SET))
                return cause_errno(cause, errno, "memory for the message");
        buf_free(&submission->draft);
        return 0;
}

int submission_check_reports(const struct tool_submission *submission, const char *const names[3],
                             struct cause *cause)
{
        char notify[DSN_NOTIFY_SIZE], ret[DSN_RETURN_SIZE];
        const char *name = NULL;

        if (submission->notify && dsn_notify(submission->notify, notify, cause))
                name = names[0];
        else if (submission->ret && dsn_return(submission->ret, ret, cause))
                name = names[1];
        else if (submission->envelope_id && dsn_envelope_id(submission->envelope_id, cause))
                name = names[2];
        if (!name)
                return 0;
        cause_prefix(cause, "%s: ", name);
        return -1;
}

/* How far the daemon has read, by the offset that it shares with us. */
struct handing {
        const struct tool *tool;
        int fd;
        uint64_t size;
};

static void show_handing(void *arg)
{
        const struct handing *handing = arg;
        off_t at = lseek(handing->fd, 0, SEEK_CUR);
        char size[32];

        size_text(handing->size, size);
        if (at >= 0 && (uint64_t)at < handing->size)
                term_progress(handing->tool, "handing over: %d%% of %s",
                              (int)((uint64_t)at * 100 / handing->size), size);
        else
                term_progress(handing->tool, "%s handed over, being written to disk", size);
}

/* Those to whom it cannot go are told of, where a person sees it and where a script's mail leaves a trace.
 * The others get it all the same: an alarm is worth more than a tidy command line. */
void submission_tell_left_out(const char *program, const char *words)
{
        scoped(scoped_free) char *text = printable_text(words);
        fprintf(stderr, "%s: %s; the other recipients get the message\n", program, text);
        openlog(program, LOG_PID, LOG_MAIL);
        syslog(LOG_WARNING, "%s; the other recipients get the message", text);
        closelog();
}

/* The address in From, by which an account may be chosen where no sender is given. */
static void note_author(struct tool_submission *submission)
{
        scoped(scoped_free) char *from = submission->from || !submission->draft.len
                                                 ? NULL
                                                 : draft_find((const char *)buf_bytes(&submission->draft),
                                                              submission->draft.len, "From");
        size_t at, len;
        if (from && mailbox_find(from, mailbox_item(from), &at, &len) && text_is_clean(from))
                submission->author = copy_bytes(from + at, len);
}

/* Recipients that only the daemon could refuse, as by the rules of the account. */
static void tell_refused(const struct tool_submission *submission, const json_t *answer)
{
        size_t index;
        json_t *one;
        json_array_foreach(json_object_get(answer, "refused"), index, one)
                submission_tell_left_out(submission->program ? submission->program : "emailsecctl",
                                         json_text(one, "text"));
}

int submission_send(struct tool *tool, struct tool_submission *submission, json_t **out,
                    struct causes *failures)
{
        struct cause cause = { 0 };
        scoped(scoped_json) json_t *own = NULL;
        if (!out)
                out = &own;
        note_author(submission);
        if (seal(submission, &cause)) {
                *causes_add(failures) = cause;
                return -1;
        }
        json_t *parameters = parameters_of("account", submission->account);
        parameter_text(parameters, "from", submission->from);
        parameter_text(parameters, "author", submission->author);
        parameter_flag(parameters, "partial", !submission->whole);
        parameter_text(parameters, "key", submission->key);
        parameter_text(parameters, "priority", submission->priority);
        parameter_flag(parameters, "hold", submission->hold);
        if (submission->notify_each)
                json_put(parameters, "notify", take(submission->notify_each));
        else if (submission->notify)
                json_put(parameters, "notify", json_pack("[s]", submission->notify));
        if (submission->originals)
                json_put(parameters, "originals", take(submission->originals));
        parameter_text(parameters, "ret", submission->ret);
        parameter_text(parameters, "envelopeId", submission->envelope_id);
        json_put(parameters, "recipients", take(submission->recipients));
        /* The first descriptor that comes along with the call. */
        json_put(parameters, "descriptor", json_integer(0));
        struct tool_call call = { .method = EMAIL("Submit"),
                                  .parameters = parameters,
                                  .fd = submission->made };
        struct stat info = { 0 };
        if (!submission->watched || fstat(submission->made, &info)) {
                int status = call_once(tool, call, out, failures);
                tell_refused(submission, *out);
                return status;
        }
        struct handing handing = { .tool = tool, .fd = submission->made, .size = (uint64_t)info.st_size };
        call.tick = show_handing;
        call.tick_arg = &handing;
        int failed = call_once(tool, call, out, failures);
        term_progress_end();
        tell_refused(submission, *out);
        return failed;
}
