/* SPDX-License-Identifier: MIT */
/*
 * One message on its way; see sending.h. The body comes from the queue in chunks, the next one read while one
 * is being sent, so that a message of any size needs two chunks of memory.
 *
 * Lives on the loop's thread, from a claim to the answer of the writer that what became of it is on disk. In
 * between the engine of a session has it (`mail`); the session is named by a handle, since it may be closed
 * while a chunk is read. What became of a recipient is counted, told and logged after it is on disk, never
 * before: a daemon that is killed in between has told nobody, and asks the server again.
 *
 * A recipient is in one of three places: undecided (the engine's), decided and on its way to the disk
 * (`saved`, while others of the same message go on), or in the last settlement. `parts` counts the writes
 * under way; the object goes with the last of them.
 */
#include "daemon/outgoing/sending.h"

#include "common/json_fields.h"
#include "common/names.h"
#include "daemon/accounts/quota.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/outgoing/sender_policy.h"
#include "daemon/outgoing/sender_rules.h"
#include "daemon/random.h"
#include "daemon/smtp/session.h"
#include "daemon/store/chunk_memory.h"
#include "daemon/store/kept.h"
#include "daemon/work_counts.h"

#include <stdio.h>

enum { ROUNDS_MOST = 4 }; /* sessions in a row that carried nothing, to which a message is given at once */

/* Whom the disk answers to: a message may be through, and gone, before a part of it has been read. */
struct body_reader {
        handle_id sending;
};

/* Recipients that are through while others go on, on their way to the disk. */
struct settled_part {
        struct sending *sending;
        size_t count;
        size_t recipients[];
};

/* Its owner is done with it; what is on its way to the disk still has it. */
static void sending_free(struct sending *sending)
{
        if (sending->self)
                handle_drop(&sending->self);
        sending->over = true;
        if (sending->parts)
                return;
        chunk_memory_free(sending->given);
        chunk_memory_free(sending->chunk.bytes);
        free(sending->mail.recipients);
        free(sending->settled);
        free(sending->saved);
        free(sending->own_from);
        account_release(sending->account);
        queued_message_free(sending->message);
        free(sending);
}

/* ---- body ---- */

/* The worker answers to a handle: where the message is through meanwhile, or was begun anew, nobody is there
 * and the bytes are dropped. */
static void chunk_read(void *ctx, uint8_t *bytes, size_t len, const struct cause *cause)
{
        struct body_reader *reader = ctx;
        struct sending *sending = handle_object(reader->sending);

        free(reader);
        if (!sending) {
                chunk_memory_free(bytes);
                return;
        }
        bool failed = cause_happened(cause) || len == 0, awaited = sending->chunk.awaited;
        sending->chunk = (struct body_chunk){ .state = failed ? CHUNK_FAILED : CHUNK_HERE,
                                              .bytes = bytes,
                                              .len = len };
        struct session *session = handle_object(sending->session);
        if (session && awaited)
                smtp_mail_continue(session_engine(session), &sending->mail);
}

/* From where the stored body goes on: `handed` counts bytes of the queue's body, which are not those that
 * were sent where senderPolicy replaced the header. */
static void read_on(struct sending *sending)
{
        if (sending->chunk.state != CHUNK_NONE || sending->handed >= sending->message->size)
                return;
        struct body_reader *reader = new_object(struct body_reader);
        reader->sending = sending->self;
        sending->chunk.state = CHUNK_READING;
        queue_read_body(sending->message->seq, sending->handed, chunk_read, reader);
}

/* The bytes given stay valid until the next call. BODY_LATER: smtp_mail_continue() follows when the chunk is
 * here. BODY_FAILED: the engine breaks the connection off, since a server must not take half a message for a
 * whole one (RFC 5321, 4.1.1.4). */
static enum smtp_body next_piece(struct smtp_mail *mail, const uint8_t **bytes, size_t *len)
{
        struct sending *sending = container_of(mail, struct sending, mail);
        const struct queued_message *message = sending->message;

        if (sending->handed == 0 && message->first_len) {
                *bytes = message->first;
                *len = message->first_len;
                sending->handed = sending->first_stored;
                read_on(sending);
                return BODY_BYTES;
        }
        chunk_memory_free(take(sending->given));
        if (sending->handed >= message->size)
                return BODY_END;
        read_on(sending);
        if (sending->chunk.state == CHUNK_READING) {
                sending->chunk.awaited = true;
                return BODY_LATER;
        }
        if (sending->chunk.state == CHUNK_FAILED)
                return BODY_FAILED;
        *bytes = sending->given = take(sending->chunk.bytes);
        *len = sending->chunk.len;
        sending->handed += *len;
        sending->chunk.state = CHUNK_NONE;
        read_on(sending);
        return BODY_BYTES;
}

/* From the first byte again; a part that is still being read is not waited for. */
static void rewind_body(struct smtp_mail *mail)
{
        struct sending *sending = container_of(mail, struct sending, mail);

        handle_drop(&sending->self);
        sending->self = handle_new(sending);
        chunk_memory_free(take(sending->given));
        chunk_memory_free(take(sending->chunk.bytes));
        sending->chunk = (struct body_chunk){ .state = CHUNK_NONE };
        sending->handed = 0;
}

/* ---- result ---- */

static void tell(const struct sending *sending, enum queue_state state,
                 const struct smtp_recipient *recipient, const struct settled_recipient *settled)
{
        static const struct {
                enum event_kind event;
                const char *message_id, *words;
                int priority;
        } forms[QUEUE_STATES] = {
                [QUEUE_SENT] = { EVENT_MAIL_SENT, MSG_SENT, "sent", LOG_INFO },
                [QUEUE_DEFERRED] = { EVENT_MAIL_DEFERRED, MSG_DEFERRED, "deferred", LOG_NOTICE },
                [QUEUE_FAILED] = { EVENT_MAIL_FAILED, MSG_FAILED, "failed", LOG_WARNING },
                [QUEUE_AMBIGUOUS] = { EVENT_MAIL_DEFERRED, MSG_AMBIGUOUS,
                                      "may have been sent, will be sent again", LOG_WARNING },
        };
        struct subject subject = account_subject(sending->account);
        json_t *data = json_object();

        if (!forms[state].event) {
                json_decref(data);
                return;
        }
        subject.queue_id = sending->message->id;
        subject.reply_code = recipient->code;
        subject.enhanced_code = recipient->enhanced[0] ? recipient->enhanced : NULL;
        if (state == QUEUE_DEFERRED || state == QUEUE_AMBIGUOUS)
                kept_add(sending->account->name, KEPT_NUMBER_DEFERRED, 1);
        work_counts.deferred += state == QUEUE_DEFERRED || state == QUEUE_AMBIGUOUS;
        log_about(&subject, forms[state].priority, forms[state].message_id, "%s: %s to %s by %s: %s",
                  sending->message->id, forms[state].words, recipient->address, sending->account->name,
                  settled->reply ? settled->reply : "");
        json_put_text(data, "id", sending->message->id);
        json_put_text(data, "recipient", recipient->address);
        json_put_text(data, "messageId", sending->message->message_id);
        json_put_text(data, "reply", settled->reply);
        json_put_text(data, "enhancedCode", recipient->enhanced[0] ? recipient->enhanced : NULL);
        if (settled->cause)
                json_put_text(data, "cause", cause_kind(settled->cause)->name);
        json_put_time(data, "nextAttempt", (int64_t)settled->next_attempt);
        event_emit(forms[state].event, sending->account->name, data, "%s: %s to %s", sending->message->id,
                   forms[state].words, recipient->address);
}

static void count(struct sending *sending, const struct sending_result *result, const char *reply)
{
        const char *name = sending->account->name;

        if (result->sent) {
                quota_count_sent(sending->account, 1);
                kept_add(name, KEPT_NUMBER_SENT, 1);
                work_counts.sent++;
        }
        if (result->failed)
                account_count_failed(name, reply);
}

/* For the history: by which TLS, and on whose word about the certificate, each attempt went. */
static void channel_words(const struct sending *sending, char *to, size_t size)
{
        const struct session *session = handle_object(sending->session);
        struct channel_info info;

        to[0] = '\0';
        if (session && session_tls_info(session, &info))
                (void)snprintf(to, size, "%s %s", info.version, info.verified_by);
}

static void tell_recipient(const struct sending *sending, size_t i)
{
        tell(sending, sending->settled[i].state, &sending->mail.recipients[i], &sending->settled[i]);
}

static void part_settled(void *ctx, const struct cause *cause)
{
        struct settled_part *part = ctx;
        struct sending *sending = part->sending;

        for (size_t i = 0; i < part->count && !cause_happened(cause); i++)
                tell_recipient(sending, part->recipients[i]);
        free(part);
        if (--sending->parts == 0 && sending->over)
                sending_free(sending);
}

/* The result is on disk: now it is true, and told. A disk that failed keeps the message as it was before, and
 * says so itself. */
static void settled(void *ctx, const struct cause *cause)
{
        struct sending *sending = ctx;
        bool failed = false;

        for (size_t i = 0; i < sending->mail.recipient_count && !cause_happened(cause); i++) {
                if (!sending->saved[i])
                        tell_recipient(sending, i);
                failed |= sending->settled[i].state == QUEUE_FAILED;
        }
        if (failed)
                sending->failed(sending->account);
        sending_free(sending);
}

/* `part`: these alone, the others are still on their way; NULL: it is the end of it. What is saved already is
 * left alone. */
static void settle(struct sending *sending, const char *result, struct settled_part *part)
{
        char host[300], tls[40];
        size_t recipients = sending->message->recipient_count;
        scoped(scoped_free) struct settled_recipient *fresh = new_zeroed(recipients, sizeof *fresh);
        struct notice_rules notice = account_notice_rules(sending->account);
        struct settlement settlement = {
                .seq = sending->message->seq,
                .time = loop_wall(),
                .host = host,
                .tls = tls,
                .result = result,
                .recipients = fresh,
                .recipient_count = recipients,
                .notice = &notice,
                .partly = part != NULL,
        };

        for (size_t i = 0; i < recipients; i++) {
                fresh[i] = sending->settled[i];
                if (sending->saved[i])
                        fresh[i].state = QUEUE_QUEUED;
        }
        (void)snprintf(host, sizeof host, "%s:%u", prop_text(&sending->account->values, PROP_HOSTNAME),
                       port_in_use(&sending->account->values));
        channel_words(sending, tls, sizeof tls);
        sending->parts += part != NULL;
        if (!part)
                sending->session = HANDLE_NONE; /* it is done with it */
        queue_settle(&settlement, part ? part_settled : settled, part ? (void *)part : sending);
}

/* Where the session broke, a recipient without a reply of its own is judged by the session's cause. */
static void judge_recipient(struct sending *sending, size_t i, const struct cause *session_cause)
{
        const struct queued_recipient *queued = &sending->message->recipients[i];
        const struct smtp_recipient *recipient = &sending->mail.recipients[i];
        struct outbox_verdict verdict =
                sender_judge(recipient, session_cause, queued->attempts, loop_wall(), random_number());

        sending->settled[i] = (struct settled_recipient){
                .index = queued->index,
                .state = verdict.state,
                .next_attempt = verdict.next_attempt,
                .reply = verdict.reply,
                .enhanced = recipient->enhanced,
                .cause = verdict.cause,
        };
}

/* Some recipients are through, others go on: a station that dies now does not send to the first ones again.
 */
static void save_decided(struct smtp_mail *mail)
{
        struct sending *sending = container_of(mail, struct sending, mail);
        struct settled_part *part =
                new_zeroed(1, sizeof *part + mail->recipient_count * sizeof part->recipients[0]);

        part->sending = sending;
        for (size_t i = 0; i < mail->recipient_count; i++) {
                if (mail->recipients[i].outcome != OUTCOME_NONE && !sending->saved[i])
                        judge_recipient(sending, i, NULL);
                else if (!sending->saved[i])
                        sending->settled[i] =
                                (struct settled_recipient){ .index = sending->message->recipients[i].index,
                                                            .state = QUEUE_QUEUED };
        }
        settle(sending, NULL, part);
        for (size_t i = 0; i < mail->recipient_count; i++) {
                if (mail->recipients[i].outcome == OUTCOME_NONE || sending->saved[i])
                        continue;
                mail->recipients[i].decided = sending->saved[i] = true;
                part->recipients[part->count++] = i;
        }
}

/* The session ended before anything was decided for some, for no fault of the server's or theirs. */
static bool goes_again(const struct sending *sending)
{
        const struct smtp_mail *mail = &sending->mail;
        bool any = false;

        struct session *session = handle_object(sending->session);

        if (sending->rounds >= ROUNDS_MOST || !session || !smtp_session_anew(session_engine(session)))
                return false;
        for (size_t i = 0; i < mail->recipient_count; i++) {
                any |= mail->recipients[i].outcome == OUTCOME_NONE;
                if (mail->recipients[i].outcome == OUTCOME_AMBIGUOUS)
                        return false;
        }
        return any;
}

/* What was decided is written first; the rest begins at the first byte in another session. The sender puts
 * it at the head of its pool, without counting an attempt. A session that carried other mail before was one
 * step ahead: whoever comes second in several, of a server that takes one message in each, is none to be put
 * off. */
static void go_again(struct sending *sending)
{
        struct sending_result result = { .again = true };

        sending->rounds += !smtp_session_has_carried(session_engine(handle_object(sending->session)));
        save_decided(&sending->mail);
        rewind_body(&sending->mail);
        sending->session = HANDLE_NONE;
        sending->done(sending->ctx, sending, &result);
}

/* The engine is through with all recipients, or the session is over. `done` comes before the write is asked
 * for: the sender counts what it may do next by what is in flight, not by what is on disk. */
static void finished(struct smtp_mail *mail, const struct cause *session_cause)
{
        struct sending *sending = container_of(mail, struct sending, mail);
        size_t recipients = mail->recipient_count;
        struct sending_result result = { 0 };

        if (session_cause && goes_again(sending)) {
                go_again(sending);
                return;
        }
        if (session_cause)
                sending->cause = *session_cause;
        const char *words = sending->cause.text;
        bool twice = false;
        for (size_t i = 0; i < recipients; i++) {
                if (!sending->saved[i])
                        judge_recipient(sending, i, session_cause ? &sending->cause : NULL);
                const struct settled_recipient *verdict = &sending->settled[i];
                twice |= verdict->state == QUEUE_AMBIGUOUS;
                result.sent |= verdict->state == QUEUE_SENT;
                result.failed |= verdict->state == QUEUE_FAILED;
                result.slow_down |=
                        mail->recipients[i].outcome == OUTCOME_DEFERRED && mail->recipients[i].slow_down;
                if (verdict->reply && verdict->reply[0])
                        words = verdict->reply;
        }
        count(sending, &result, words);
        sending->done(sending->ctx, sending, &result);
        scoped(scoped_free) char *doubt = twice ? text_of("%s: it may arrive twice", words) : NULL;
        settle(sending, doubt ? doubt : words, NULL);
}

/* ---- the account's own sender ---- */

static void tell_signed(const struct sending *sending)
{
        struct subject subject = account_subject(sending->account);

        subject.queue_id = sending->message->id;
        log_about(&subject, LOG_WARNING, MSG_SENT,
                  "%s: it is signed (DKIM), and senderPolicy account changes its From: the "
                  "signature is no longer valid",
                  sending->message->id);
}

/* The header that is sent in the place of the queue's. What cannot have one is refused when it is started. */
static void apply_policy(struct sending *sending)
{
        struct queued_message *message = sending->message;
        const char *own = prop_own_address(&sending->account->values);
        scoped(sender_policy_done) struct sender_policy policy = { 0 };

        if (!prop_is(&sending->account->values, WORD_AS_ACCOUNT) || !own[0])
                return;
        if (sending->mail.from[0]) /* a null sender stays: nothing may answer it */
                sending->mail.from = sending->own_from = copy_text(own);
        if (sender_policy_apply((const char *)message->first, message->first_len, own, &policy,
                                &sending->unfit) < 0 ||
            !policy.header.len)
                return;
        if (policy.was_signed && !sending->mail.recipients[0].attempts)
                tell_signed(sending);
        size_t rest = message->first_len - policy.header_len, len = policy.header.len + rest;
        uint8_t *first = new_zeroed(len, 1);
        memcpy(first, buf_bytes(&policy.header), policy.header.len);
        memcpy(first + policy.header.len, message->first + policy.header_len, rest);
        chunk_memory_free(message->first);
        message->first = first;
        message->first_len = len;
        sending->mail.size = message->size - policy.header_len + policy.header.len;
        sending->mail.utf8 |= address_needs_utf8(own);
}

/* As a refusal by the server would be: the mail fails, its sender has a notice, and the account is not at
 * fault. */
static void refuse_unfit(struct sending *sending)
{
        struct smtp_mail *mail = &sending->mail;

        for (size_t i = 0; i < mail->recipient_count; i++) {
                struct smtp_recipient *recipient = &mail->recipients[i];
                recipient->outcome = OUTCOME_REFUSED;
                recipient->cause = sending->unfit.code;
                (void)snprintf(recipient->reply, sizeof recipient->reply, "%.*s",
                               (int)sizeof recipient->reply - 1, sending->unfit.text);
        }
        finished(mail, NULL);
}

/* ---- from outside ---- */

struct sending *sending_new(struct account *account, struct queued_message *message,
                            void (*failed)(struct account *account))
{
        struct sending *sending = new_object(struct sending);

        sending->self = handle_new(sending);
        sending->failed = failed;
        sending->account = account_hold(account);
        sending->message = message;
        sending->mail = (struct smtp_mail){
                .from = message->from,
                .recipients = new_zeroed(message->recipient_count, sizeof(struct smtp_recipient)),
                .recipient_count = message->recipient_count,
                .size = message->size,
                .eight_bit = message->eight_bit,
                .utf8 = message->header_utf8,
                .ret = message->ret,
                .envid = message->envelope_id,
                .body = next_piece,
                .rewind = rewind_body,
                .partly = save_decided,
                .finished = finished,
        };
        sending->settled = new_zeroed(message->recipient_count, sizeof *sending->settled);
        sending->saved = new_zeroed(message->recipient_count, sizeof *sending->saved);
        for (size_t i = 0; i < message->recipient_count; i++) {
                const struct queued_recipient *queued = &message->recipients[i];
                struct smtp_recipient *recipient = &sending->mail.recipients[i];
                recipient->address = queued->address;
                recipient->notify = queued->notify;
                recipient->attempts = queued->attempts;
                /* a report names the address it was asked for: its sender's, else this one; rfc822 has no
                 * form for one that is not ASCII before the @ */
                bool own = queued->notify && !address_needs_utf8(queued->address);
                recipient->orcpt = queued->original ? queued->original : own ? queued->address : NULL;
        }
        sending->first_stored = message->first_len;
        apply_policy(sending);
        return sending;
}

void sending_start(struct sending *sending, struct session *session, bool worked,
                   void (*done)(void *ctx, struct sending *sending, const struct sending_result *result),
                   void *ctx)
{
        sending->session = session_handle(session);
        sending->done = done;
        sending->ctx = ctx;
        sending->mail.worked = worked;
        if (sending->unfit.code)
                refuse_unfit(sending);
        else
                smtp_mail_send(session_engine(session), &sending->mail);
}

/* Nothing was said to a server: no attempt counts and no history is written. */
void sending_give_back(struct sending *sending)
{
        queue_unclaim(sending->message->seq);
        sending_free(sending);
}

/* No server was reached: the attempt counts all the same, by which the next one is later. */
void sending_defer(struct sending *sending, const struct cause *cause, time_t again)
{
        size_t recipients = sending->message->recipient_count;

        sending->cause = *cause;
        for (size_t i = 0; i < recipients; i++)
                if (!sending->saved[i])
                        sending->settled[i] = (struct settled_recipient){
                                .index = sending->message->recipients[i].index,
                                .state = QUEUE_DEFERRED,
                                .next_attempt = again,
                                .reply = sending->cause.text,
                                .enhanced = "",
                                .cause = cause->code,
                        };
        settle(sending, sending->cause.text, NULL);
}
