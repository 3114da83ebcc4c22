/* SPDX-License-Identifier: MIT */
/*
 * `sendmail -bs`: a program speaks SMTP on standard input and hears the replies on standard output. The
 * engine is that of the daemon's listener; each message is handed over as sendmail hands one over, with the
 * rights of whoever calls.
 */
#include "common/esmtp/server.h"
#include "common/json_fields.h"
#include "ctl/call.h"
#include "ctl/sendmail.h"
#include "ctl/submit.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

enum { READ_SIZE = 32 * 1024, NAME_SIZE = 256 };

struct dialogue {
        struct tool *tool;
        struct esmtp *esmtp;
        struct tool_submission submission; /* of the message that comes */
        bool too_large;
};

static void begin_message(struct dialogue *dialogue)
{
        submission_done(&dialogue->submission);
        submission_init(&dialogue->submission);
        dialogue->submission.program = "sendmail";
        /* SMTP has said yes to each recipient before: the message goes to all of them, or to none. */
        dialogue->submission.whole = true;
        dialogue->too_large = false;
}

static void on_body(void *ctx, const uint8_t *bytes, size_t len)
{
        struct dialogue *dialogue = ctx;

        /* Told at the end of the message: SMTP has no reply in its midst. */
        if (buf_append(&dialogue->submission.draft, bytes, len))
                dialogue->too_large = true;
}

static void on_forget(void *ctx)
{
        begin_message(ctx);
}

/* ---- a message ---- */

/* What has no row is temporary: the client keeps its mail and tries again. */
static struct esmtp_answer answer_for(const struct cause *cause)
{
        static const struct {
                enum cause_code cause;
                int code;
                const char *enhanced;
        } replies[] = {
                { CAUSE_PERMISSION, 550, "5.7.1" }, { CAUSE_TOO_LARGE, 552, "5.3.4" },
                { CAUSE_UNSENDABLE, 554, "5.6.0" }, { CAUSE_INVALID, 550, "5.1.3" },
                { CAUSE_QUEUE_FULL, 452, "4.3.1" }, { CAUSE_STORAGE, 452, "4.3.1" },
        };
        struct esmtp_answer answer = {
                .code = 451, .enhanced = "4.3.0", .text = cause->text, .remedy = cause_remedy_of(cause)
        };

        for (size_t i = 0; i < count_of(replies); i++)
                if (replies[i].cause == cause->code) {
                        answer.code = replies[i].code;
                        answer.enhanced = replies[i].enhanced;
                }
        return answer;
}

/* The texts stay those of the envelope, which lives until the transaction is answered. */
static void take_envelope(struct dialogue *dialogue)
{
        const struct esmtp_envelope *envelope = esmtp_envelope(dialogue->esmtp);
        struct tool_submission *submission = &dialogue->submission;

        submission->from = envelope->from;
        submission->ret = envelope->ret[0] ? envelope->ret : NULL;
        submission->envelope_id = envelope->envelope_id;
        submission->notify_each = json_array();
        submission->originals = json_array();
        for (size_t i = 0; i < envelope->recipient_count; i++)
                if (json_array_append_new(submission->recipients,
                                          json_string(envelope->recipients[i].address)) < 0 ||
                    json_array_append_new(submission->notify_each,
                                          json_string(envelope->recipients[i].notify)) < 0 ||
                    json_array_append_new(submission->originals,
                                          json_string(envelope->recipients[i].original
                                                              ? envelope->recipients[i].original
                                                              : "")) < 0)
                        abort();
}

static void commit(struct dialogue *dialogue)
{
        scoped(scoped_json) json_t *answer = NULL;
        scoped(causes_free) struct causes failures = { 0 };
        struct cause cause = { 0 };
        struct esmtp_answer reply = { 0 };

        take_envelope(dialogue);
        if (dialogue->too_large)
                (void)cause_set(&cause, CAUSE_TOO_LARGE, "the message is larger than %zu bytes", LIMIT_DRAFT);
        else if (submission_complete(&dialogue->submission, &cause) == 0 &&
                 submission_encode(&dialogue->submission, &cause) == 0 &&
                 submission_send(dialogue->tool, &dialogue->submission, &answer, &failures) < 0)
                cause = failures.items[0];
        if (cause_happened(&cause)) {
                reply = answer_for(&cause);
                esmtp_answer(dialogue->esmtp, &reply);
                return;
        }
        const char *id = json_string_value(json_object_get(answer, "id"));
        scoped(scoped_free) char *text = text_of("queued as %s", id ? id : "?");
        reply.text = text;
        esmtp_answer(dialogue->esmtp, &reply);
}

/* ---- the dialogue ---- */

static int say(struct esmtp *esmtp)
{
        struct buf *out = esmtp_out(esmtp);

        if (tool_write(STDOUT_FILENO, buf_bytes(out), out->len) < 0)
                return -1;
        buf_consume(out, out->len);
        return 0;
}

/* False at the end. */
static bool work(struct dialogue *dialogue, const uint8_t *bytes, size_t len)
{
        static const struct esmtp_answer yes = { 0 };
        struct esmtp *esmtp = dialogue->esmtp;

        for (size_t used = 0;; bytes += used, len -= used) {
                enum esmtp_want want = esmtp_work(esmtp, bytes, len, &used);
                if (want == ESMTP_COMMIT)
                        commit(dialogue);
                if (want == ESMTP_MAIL || want == ESMTP_RECIPIENT || want == ESMTP_DATA)
                        esmtp_answer(esmtp, &yes); /* the daemon decides, when it has the message */
                if (say(esmtp) < 0 || want == ESMTP_END)
                        return false;
                if (want == ESMTP_INPUT)
                        return true;
        }
}

int sendmail_smtp(struct tool *tool)
{
        static const struct esmtp_user user = { .body = on_body, .forget = on_forget };
        struct dialogue dialogue = { .tool = tool };
        char host[NAME_SIZE] = "";
        uint8_t *piece = new_zeroed(1, READ_SIZE);
        bool more = gethostname(host, sizeof host - 1) == 0;

        submission_init(&dialogue.submission);
        begin_message(&dialogue);
        dialogue.esmtp = esmtp_new(&(struct esmtp_rules){ .hostname = more && host[0] ? host : "localhost",
                                                          .max_size = LIMIT_DRAFT,
                                                          .standard_input = true },
                                   &user, &dialogue);
        esmtp_greet(dialogue.esmtp, NULL);
        more = say(dialogue.esmtp) == 0;
        /* The end of the input is an end as well, without QUIT: of a message that came in part
         * nothing is handed over. */
        while (more) {
                ssize_t got = read(STDIN_FILENO, piece, READ_SIZE);
                if (got > 0)
                        more = work(&dialogue, piece, (size_t)got);
                else
                        more = got < 0 && errno == EINTR;
        }
        bool offended = esmtp_offence(dialogue.esmtp) != NULL;
        esmtp_free(dialogue.esmtp);
        submission_done(&dialogue.submission);
        free(piece);
        return offended ? EX_PROTOCOL : EX_OK;
}
