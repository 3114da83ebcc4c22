/* SPDX-License-Identifier: MIT */
/*
 * One message on its way; see sending.h. The body comes from the queue in chunks, the next one read while one is
 * being sent, so that a message of any size needs two chunks of memory.
 */
#include "daemon/station/sending.h"

#include "common/json_fields.h"
#include "common/names.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/random.h"
#include "daemon/station/events.h"
#include "daemon/station/outbox.h"
#include "daemon/station/sender.h"
#include "daemon/station/station.h"
#include "daemon/store/seen_table.h"

#include <stdio.h>

/* Whom the disk answers to: a message may be through, and gone, before a part of it has been read. */
struct body_reader {
        handle_id sending;
};

static void sending_free(struct sending *sending)
{
        handle_drop(&sending->self);
        free(sending->chunk.bytes);
        free(sending->mail.recipients);
        free(sending->settled);
        account_release(sending->account);
        queued_message_free(sending->message);
        free(sending);
}

/* ---- body ---- */

static void chunk_read(void *ctx, const uint8_t *bytes, size_t len, const struct cause *cause)
{
        struct body_reader *reader = ctx;
        struct sending *sending = handle_object(reader->sending);

        free(reader);
        if (!sending)
                return;
        bool failed = cause_happened(cause) || len == 0;
        sending->chunk.state = failed ? CHUNK_FAILED : CHUNK_HERE;
        if (!failed) {
                sending->chunk.bytes = (uint8_t *)copy_bytes((const char *)bytes, len);
                sending->chunk.len = len;
        }
        struct link *link = handle_object(sending->link);
        if (link)
                smtp_mail_continue(link_chat(link), &sending->mail);
}

static void begin_read(struct sending *sending)
{
        struct body_reader *reader = new_object(struct body_reader);

        reader->sending = sending->self;
        sending->chunk.state = CHUNK_READING;
        queue_read_body(sending->message->seq, sending->handed, chunk_read, reader);
}

static enum smtp_body next_piece(struct smtp_mail *mail, const uint8_t **bytes, size_t *len)
{
        struct sending *sending = container_of(mail, struct sending, mail);
        const struct queued_message *message = sending->message;

        if (sending->handed == 0 && message->first_len) {
                *bytes = message->first;
                *len = message->first_len;
                sending->handed = message->first_len;
                return BODY_BYTES;
        }
        if (sending->chunk.state == CHUNK_GIVEN) {
                free(take(sending->chunk.bytes));
                sending->chunk.state = CHUNK_NONE;
        }
        if (sending->handed >= message->size)
                return BODY_END;
        if (sending->chunk.state == CHUNK_NONE)
                begin_read(sending);
        if (sending->chunk.state == CHUNK_READING)
                return BODY_LATER;
        if (sending->chunk.state == CHUNK_FAILED)
                return BODY_FAILED;
        *bytes = sending->chunk.bytes;
        *len = sending->chunk.len;
        sending->handed += *len;
        sending->chunk.state = CHUNK_GIVEN;
        return BODY_BYTES;
}

/* ---- result ---- */

static void tell(const struct sending *sending, enum queue_state state, const struct smtp_recipient *recipient,
                 const struct settled_recipient *settled)
{
        static const struct {
                const char *event, *message_id, *words;
                int priority;
        } forms[QUEUE_STATES] = {
                [QUEUE_SENT] = { "mail.sent", MSG_SENT, "sent", LOG_INFO },
                [QUEUE_DEFERRED] = { "mail.deferred", MSG_DEFERRED, "deferred", LOG_NOTICE },
                [QUEUE_FAILED] = { "mail.failed", MSG_FAILED, "failed", LOG_WARNING },
                [QUEUE_AMBIGUOUS] = { "mail.deferred", MSG_AMBIGUOUS, "may have been sent, will be sent again",
                                      LOG_WARNING },
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
                fact_add(sending->account->name, "numberDeferred", 1);
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
                station_count_sent(sending->account, 1);
                fact_add(name, "numberSent", 1);
        }
        if (result->failed) {
                fact_add(name, "numberDiscarded", 1);
                fact_set_number(name, "lastDiscard", (int64_t)loop_wall());
                fact_set_text(name, "lastDiscardCause", reply);
        }
}

static void channel_words(const struct sending *sending, char *to, size_t size)
{
        const struct link *link = handle_object(sending->link);
        struct channel_info info;

        to[0] = '\0';
        if (link && link_tls_info(link, &info))
                (void)snprintf(to, size, "%s %s", info.version, info.verified_by);
}

/* The result is on disk: now it is true, and told. A disk that failed keeps the message as it was before, and says so
 * itself. */
static void settled(void *ctx, const struct cause *cause)
{
        struct sending *sending = ctx;
        bool failed = false;

        for (size_t i = 0; i < sending->mail.recipient_count && !cause_happened(cause); i++) {
                tell(sending, sending->settled[i].state, &sending->mail.recipients[i], &sending->settled[i]);
                failed |= sending->settled[i].state == QUEUE_FAILED;
        }
        if (failed && sending->account->sender)
                sender_kick(sending->account->sender); /* there may be a notice of it to send */
        sending_free(sending);
}

static void settle(struct sending *sending, const char *result)
{
        char host[300], tls[40];
        struct notice_rules notice = account_notice_rules(sending->account);
        struct settlement settlement = {
                .seq = sending->message->seq,
                .time = loop_wall(),
                .host = host,
                .tls = tls,
                .result = result,
                .recipients = sending->settled,
                .recipient_count = sending->message->recipient_count,
                .notice = &notice,
        };

        (void)snprintf(host, sizeof host, "%s:%u", prop_text(&sending->account->values, PROP_HOSTNAME),
                       port_in_use(&sending->account->values));
        channel_words(sending, tls, sizeof tls);
        sending->link = HANDLE_NONE; /* it is done with it */
        queue_settle(&settlement, settled, sending);
}

static void finished(struct smtp_mail *mail, const struct cause *session_cause)
{
        struct sending *sending = container_of(mail, struct sending, mail);
        size_t recipients = mail->recipient_count;
        struct sending_result result = { 0 };

        sending->settled = new_zeroed(recipients, sizeof *sending->settled);
        if (session_cause)
                sending->cause = *session_cause;
        const char *words = sending->cause.text;
        bool twice = false;
        for (size_t i = 0; i < recipients; i++) {
                const struct queued_recipient *queued = &sending->message->recipients[i];
                const struct smtp_recipient *recipient = &mail->recipients[i];
                struct outbox_verdict verdict = outbox_judge(recipient, session_cause ? &sending->cause : NULL,
                                                             queued->attempts, loop_wall(), random_number());
                sending->settled[i] = (struct settled_recipient){
                        .index = queued->index,
                        .state = verdict.state,
                        .next_attempt = verdict.next_attempt,
                        .reply = verdict.reply,
                        .enhanced = recipient->enhanced,
                        .cause = verdict.cause,
                };
                twice |= verdict.state == QUEUE_AMBIGUOUS;
                result.sent |= verdict.state == QUEUE_SENT;
                result.failed |= verdict.state == QUEUE_FAILED;
                result.slow_down |= recipient->outcome == OUTCOME_DEFERRED && outbox_slow_down(recipient);
                if (verdict.reply && verdict.reply[0])
                        words = verdict.reply;
        }
        count(sending, &result, words);
        sending->done(sending->ctx, sending, &result);
        scoped(scoped_free) char *doubt = twice ? text_of("%s: it may arrive twice", words) : NULL;
        settle(sending, doubt ? doubt : words);
}

/* ---- from outside ---- */

static bool needs_utf8(const struct queued_message *message)
{
        bool needs = message->header_utf8;

        for (const char *at = message->from; *at; at++)
                needs |= (unsigned char)*at > 127;
        for (size_t i = 0; i < message->recipient_count; i++)
                for (const char *at = message->recipients[i].address; *at; at++)
                        needs |= (unsigned char)*at > 127;
        return needs;
}

struct sending *sending_new(struct account *account, struct queued_message *message)
{
        struct sending *sending = new_object(struct sending);

        sending->self = handle_new(sending);
        sending->account = account_hold(account);
        sending->message = message;
        sending->mail = (struct smtp_mail){
                .from = message->from,
                .recipients = new_zeroed(message->recipient_count, sizeof(struct smtp_recipient)),
                .recipient_count = message->recipient_count,
                .size = message->size,
                .eight_bit = message->eight_bit,
                .utf8 = needs_utf8(message),
                .ret = message->ret,
                .envid = message->envelope_id,
                .body = next_piece,
                .finished = finished,
        };
        for (size_t i = 0; i < message->recipient_count; i++) {
                const struct queued_recipient *queued = &message->recipients[i];
                struct smtp_recipient *recipient = &sending->mail.recipients[i];
                recipient->address = queued->address;
                recipient->notify = queued->notify;
                /* a report names the address it was asked for; RFC 3461's own type has no form for one that is not ASCII */
                recipient->orcpt = queued->notify && !address_needs_utf8(queued->address) ? queued->address : NULL;
        }
        return sending;
}

void sending_start(struct sending *sending, struct link *link,
                   void (*done)(void *ctx, struct sending *sending, const struct sending_result *result), void *ctx)
{
        sending->link = link_handle(link);
        sending->done = done;
        sending->ctx = ctx;
        smtp_mail_send(link_chat(link), &sending->mail);
}

void sending_give_back(struct sending *sending)
{
        queue_unclaim(sending->message->seq);
        sending_free(sending);
}

void sending_defer(struct sending *sending, const struct cause *cause, time_t again)
{
        size_t recipients = sending->message->recipient_count;

        sending->cause = *cause;
        sending->settled = new_zeroed(recipients, sizeof *sending->settled);
        for (size_t i = 0; i < recipients; i++)
                sending->settled[i] = (struct settled_recipient){
                        .index = sending->message->recipients[i].index,
                        .state = QUEUE_DEFERRED,
                        .next_attempt = again,
                        .reply = sending->cause.text,
                        .enhanced = "",
                        .cause = cause->code,
                };
        settle(sending, sending->cause.text);
}
