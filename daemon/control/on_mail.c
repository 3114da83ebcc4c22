/* SPDX-License-Identifier: MIT */
/* The socket method that submits mail. */
#include "common/dsn.h"
#include "common/limits.h"
#include "common/names.h"
#include "daemon/accounts/accounts.h"
#include "daemon/control/methods.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/outgoing/sender.h"
#include "daemon/settings.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/taking.h"

struct submitted {
        const char *account, *from, *message, *key, *priority, *ret, *envelope_id;
        json_t *recipients, *notify;
        int64_t descriptor;
        bool hold, has_from, has_descriptor;
        char returns[DSN_RETURN_SIZE];               /* `ret` as it is kept */
        char (*notifies)[DSN_NOTIFY_SIZE];           /* `notify` as it is kept; "" where an item is empty */
};

struct submitting {
        struct call *call;              /* NULL: the client has gone */
        uint64_t ticket;
        char *account, *who;
        size_t recipients;
};

static void submitting_free(struct submitting *submitting)
{
        free(submitting->account);
        free(submitting->who);
        free(submitting);
}

/* What has been read of it is forgotten; what is on its way to the disk is accepted all the same. */
static void submitting_cancelled(void *work)
{
        struct submitting *submitting = work;

        submitting->call = NULL;
        taking_cancel(submitting->ticket);
}

static void tell_accepted(const struct submitting *submitting, const char *id)
{
        struct subject subject = { .account = submitting->account, .direction = "outgoing", .queue_id = id };
        struct account *account = account_named(submitting->account);

        log_about(&subject, LOG_INFO, MSG_QUEUED, "%s: accepted from %s for %s, %zu recipient%s", id, submitting->who,
                  submitting->account, submitting->recipients, submitting->recipients == 1 ? "" : "s");
        if (account && account->sender)
                sender_kick(account->sender);
        manager_status_changed();
}

static void was_submitted(void *ctx, const char *id, bool duplicate, const struct cause *cause)
{
        struct submitting *submitting = ctx;

        if (!cause_happened(cause) && !duplicate)
                tell_accepted(submitting, id);
        if (submitting->call && cause_happened(cause)) {
                call_fail(submitting->call, cause);
        } else if (submitting->call) {
                json_t *reply = json_object();
                json_put_text(reply, "id", id);
                json_put_text(reply, "account", submitting->account);
                json_put(reply, "duplicate", json_boolean(duplicate));
                call_reply(submitting->call, reply);
        }
        submitting_free(submitting);
}

/* The account that the submission goes to, with the rules of who may use it. */
static struct account *account_for(struct call *call, const struct submitted *in, struct cause *cause)
{
        struct account *standard = accounts_default(cause);
        struct account *account = in->account ? account_named(in->account) : standard;

        if (in->account && (!account || account != standard) && !permit(call_peer(call), PERMIT_ADMIN)) {
                /* the same words whether there is such an account or not */
                cause_set(cause, CAUSE_PERMISSION, "%s may submit mail to the default account only", call_who(call));
                return NULL;
        }
        if (in->account && !account) {
                cause_about(cause, CAUSE_NOT_FOUND, "account", "there is no account \"%s\"", in->account);
                cause_remedy(cause, "emailsecctl account list");
        }
        if (!account)
                return NULL;
        return account_takes_mail(account, cause) < 0 ? NULL : account;
}

static void check_addresses(const struct submitted *in, const char *from, struct causes *problems)
{
        struct cause cause = { 0 };
        size_t index, count = json_array_size(in->recipients);
        json_t *recipient;

        if (address_check(from, true, &cause) < 0) {
                cause_about(causes_add(problems), CAUSE_INVALID, "from", "%s", cause.text);
                cause_remedy(&problems->items[problems->count - 1], "give --from ADDRESS, or set the account's property from");
        }
        if (!count || count > LIMIT_RECIPIENTS)
                cause_about(causes_add(problems), CAUSE_INVALID, "recipients", "%zu recipients: there must be 1 to %d", count,
                            LIMIT_RECIPIENTS);
        json_array_foreach(in->recipients, index, recipient)
                if (address_check(json_string_value(recipient), false, &cause) < 0 && problems->count < 20)
                        cause_about(causes_add(problems), CAUSE_INVALID, "recipients", "%s", cause.text);
}

static void check_words(const struct submitted *in, struct causes *problems)
{
        if (in->priority && strcmp(in->priority, "normal") != 0 && strcmp(in->priority, "urgent") != 0)
                cause_about(causes_add(problems), CAUSE_INVALID, "priority", "\"%s\" is not normal or urgent", in->priority);
        if (in->has_descriptor == (in->message != NULL))
                cause_about(causes_add(problems), CAUSE_INVALID, "message", "give the message either as descriptor or as base64");
}

/* What is asked about delivery reports, into its kept form. */
static void check_reports(struct submitted *in, struct causes *problems)
{
        struct cause cause = { 0 };
        size_t index, count = json_array_size(in->notify);
        json_t *words;

        if (in->ret && dsn_return(in->ret, in->returns, &cause) < 0)
                cause_about(causes_add(problems), CAUSE_INVALID, "ret", "%s", cause.text);
        if (in->envelope_id && dsn_envelope_id(in->envelope_id, &cause) < 0)
                cause_about(causes_add(problems), CAUSE_INVALID, "envelopeId", "%s", cause.text);
        if (!in->notify)
                return;
        if (count != 1 && count != json_array_size(in->recipients)) {
                cause_about(causes_add(problems), CAUSE_INVALID, "notify",
                            "%zu items: there must be one for all recipients, or one for each", count);
                return;
        }
        in->notifies = new_zeroed(count, sizeof *in->notifies);
        json_array_foreach(in->notify, index, words) {
                const char *text = json_string_value(words);
                if (text[0] && dsn_notify(text, in->notifies[index], &cause) < 0 && problems->count < 20)
                        cause_about(causes_add(problems), CAUSE_INVALID, "notify", "%s", cause.text);
        }
}

static const char *notify_of(const struct submitted *in, size_t recipient)
{
        const char *words = !in->notifies ? "" : in->notifies[json_array_size(in->notify) == 1 ? 0 : recipient];

        return words[0] ? words : NULL;
}

/* The sender's address: given, the account's, or the user name when that is an address. */
static const char *from_of(const struct submitted *in, const struct account *account)
{
        if (in->has_from)
                return in->from;
        const char *from = prop_text(&account->values, PROP_FROM);
        if (!from[0] && strchr(prop_text(&account->values, PROP_ACCOUNT), '@'))
                return prop_text(&account->values, PROP_ACCOUNT);
        return from;
}

static void check_from_known(const struct submitted *in, const char *from, const struct account *account,
                             struct causes *problems)
{
        if (in->has_from || from[0])
                return;
        cause_about(causes_add(problems), CAUSE_INVALID, "from", "no sender: account %s has no from", account->name);
        cause_remedy(&problems->items[problems->count - 1], "give --from ADDRESS, or: emailsecctl account set %s from=ADDRESS",
                     account->name);
}

static void submit(struct call *call, const struct submitted *in, struct account *account, const char *from, int fd,
                   const uint8_t *bytes, size_t len)
{
        const struct property_values *values = &account->values;
        const char *reply_to = prop_text(values, PROP_REPLY_TO), *own_from = prop_text(values, PROP_FROM);
        size_t count = json_array_size(in->recipients);
        scoped(scoped_free) const char **recipients = new_zeroed(count, sizeof *recipients);
        scoped(scoped_free) const char **notify = new_zeroed(count, sizeof *notify);
        struct submitting *submitting = new_object(struct submitting);

        for (size_t i = 0; i < count; i++) {
                recipients[i] = json_string_value(json_array_get(in->recipients, i));
                notify[i] = notify_of(in, i);
        }
        *submitting = (struct submitting){
                .call = call, .account = copy_text(account->name), .who = copy_text(call_who(call)), .recipients = count
        };
        struct submission submission = {
                .account = account->name,
                .from = from,
                .recipients = recipients,
                .recipient_count = count,
                .notify = notify,
                .ret = in->returns[0] ? in->returns : NULL,
                .envelope_id = in->envelope_id,
                .priority = in->priority && strcmp(in->priority, "urgent") == 0,
                .key = in->key,
                .submitted_by = call_who(call),
                .rules = {
                        .hostname = settings_current()->hostname,
                        .from = from[0] ? from : own_from,
                        .reply_to = reply_to[0] ? reply_to : NULL,
                        .now = loop_wall(),
                        .max_size = (uint64_t)settings_current()->max_message_size,
                },
                .lifetime = prop_number(values, PROP_QUEUE_LIFETIME),
                .account_clock = account_clock(account),
                .max_queue = (size_t)prop_number(values, PROP_MAX_QUEUE_SIZE),
                .max_disk = (uint64_t)settings_current()->queue_size_limit,
                .held = in->hold,
                .owner = call_peer(call)->uid,
                .in_charge = permit(call_peer(call), PERMIT_ADMIN),
                .fd = fd,
                .bytes = bytes,
                .len = len,
        };
        if (!call_is_oneway(call)) /* else nobody needs to stay for it */
                call_on_cancel(call, submitting_cancelled, submitting);
        submitting->ticket = queue_submit(&submission, was_submitted, submitting); /* answers later */
}

static struct submitted submitted_of(const struct parameters *said)
{
        return (struct submitted){
                .account = said->account,
                .from = said->from,
                .message = said->message,
                .key = said->key,
                .priority = said->priority,
                .ret = said->ret,
                .envelope_id = said->envelope_id,
                .recipients = said->recipients,
                .notify = said->notify,
                .descriptor = said->descriptor,
                .hold = said->hold,
                .has_from = said->from != NULL,
                .has_descriptor = said->said[PARAMETER_DESCRIPTOR],
        };
}

void on_submit(struct call *call)
{
        struct submitted in = submitted_of(call_parameters(call));
        struct causes problems = { 0 };
        struct cause cause = { 0 };
        scoped(scoped_free) uint8_t *bytes = NULL;
        size_t len = 0;

        struct account *account = account_for(call, &in, &cause);
        if (!account) {
                call_fail(call, &cause);
                return;
        }
        const char *from = from_of(&in, account);
        check_words(&in, &problems);
        check_from_known(&in, from, account, &problems);
        check_addresses(&in, from, &problems);
        check_reports(&in, &problems);
        if (in.message && base64_decode(in.message, strlen(in.message), &bytes, &len) < 0)
                cause_about(causes_add(&problems), CAUSE_INVALID, "message", "is not base64");
        scoped(scoped_close) int fd = in.has_descriptor ? call_take_fd(call, (size_t)in.descriptor) : -1;
        if (in.has_descriptor && fd < 0)
                cause_about(causes_add(&problems), CAUSE_INVALID, "descriptor", "no descriptor of that number came along");
        if (problems.count) {
                call_fail_problems(call, &problems);
        } else {
                int given = fd;
                fd = -1; /* the queue's from here on */
                submit(call, &in, account, from, given, bytes, len);
        }
        causes_free(&problems);
        free(in.notifies);
}
