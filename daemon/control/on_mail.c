/* SPDX-License-Identifier: MIT */
/* The socket method that submits mail. */
#include "common/dsn.h"
#include "common/limits.h"
#include "daemon/control/methods.h"
#include "daemon/outgoing/submit.h"

struct submitted {
        const struct parameters *said;
        char returns[DSN_RETURN_SIZE];     /* `ret` as it is kept */
        char (*notifies)[DSN_NOTIFY_SIZE]; /* `notify` as it is kept; "" where an item is empty */
};

/* An answer means that the message is on disk, synced: the client may forget it. */
static void was_submitted(void *ctx, const struct submit_answer *answer, const struct causes *problems)
{
        struct call *call = ctx;

        if (!answer) {
                call_fail_problems(call, problems);
                return;
        }
        json_t *reply = json_object();
        json_put_text(reply, "id", answer->id);
        json_put_text(reply, "account", answer->account);
        json_put(reply, "duplicate", json_boolean(answer->duplicate));
        if (json_array_size(answer->refused))
                json_put(reply, "refused", json_deep_copy(answer->refused));
        call_reply(call, reply);
}

/* The client has gone. What is committed already stays: the same key finds it when the client asks again. */
static void give_up(void *work)
{
        submit_give_up(work);
}

/* Exactly one of descriptor and base64 is to be given. */
static void check_words(const struct submitted *in, struct causes *problems)
{
        if (in->said->priority && strcmp(in->said->priority, "normal") != 0 &&
            strcmp(in->said->priority, "urgent") != 0)
                cause_about(causes_add(problems), CAUSE_INVALID, "priority", "\"%s\" is not normal or urgent",
                            in->said->priority);
        if (in->said->said[PARAMETER_DESCRIPTOR] == (in->said->message != NULL))
                cause_about(causes_add(problems), CAUSE_INVALID, "message",
                            "give the message either as descriptor or as base64");
}

/* What is asked about delivery reports, into its kept form. */
static void check_reports(struct submitted *in, struct causes *problems)
{
        struct cause cause = { 0 };
        size_t index, count = json_array_size(in->said->notify);
        json_t *words;

        if (in->said->ret && dsn_return(in->said->ret, in->returns, &cause) < 0)
                cause_about(causes_add(problems), CAUSE_INVALID, "ret", "%s", cause.text);
        if (in->said->envelope_id && dsn_envelope_id(in->said->envelope_id, &cause) < 0)
                cause_about(causes_add(problems), CAUSE_INVALID, "envelopeId", "%s", cause.text);
        if (!in->said->notify)
                return;
        if (count != 1 && count != json_array_size(in->said->recipients)) {
                cause_about(causes_add(problems), CAUSE_INVALID, "notify",
                            "%zu items: there must be one for all recipients, or one for each", count);
                return;
        }
        in->notifies = new_zeroed(count, sizeof *in->notifies);
        json_array_foreach(in->said->notify, index, words) {
                const char *text = json_string_value(words);
                if (text[0] && dsn_notify(text, in->notifies[index], &cause) < 0 && problems->count < 20)
                        cause_about(causes_add(problems), CAUSE_INVALID, "notify", "%s", cause.text);
        }
}

/* ORCPT of each recipient (RFC 3461, 4.2), "" where there is none. Twenty problems are enough to be told. */
static void check_originals(const struct submitted *in, struct causes *problems)
{
        size_t index, count = json_array_size(in->said->originals);
        struct cause cause = { 0 };
        json_t *original;

        if (in->said->originals && count != json_array_size(in->said->recipients))
                cause_about(causes_add(problems), CAUSE_INVALID, "originals",
                            "%zu items: there must be one for each recipient", count);
        json_array_foreach(in->said->originals, index, original) {
                const char *text = json_string_value(original);
                if (text[0] && dsn_original(text, &cause) < 0 && problems->count < 20)
                        cause_about(causes_add(problems), CAUSE_INVALID, "originals", "%s", cause.text);
        }
}

/* One item stands for all recipients. NULL: nothing is asked, and the server's own rule holds (RFC 3461,
 * 4.1). */
static const char *notify_of(const struct submitted *in, size_t recipient)
{
        const char *words =
                !in->notifies ? "" : in->notifies[json_array_size(in->said->notify) == 1 ? 0 : recipient];

        return words[0] ? words : NULL;
}

static void submit(struct call *call, const struct submitted *in, int fd, uint8_t *bytes, size_t len,
                   const struct causes *problems)
{
        const struct parameters *said = in->said;
        const struct peer *peer = call_peer(call);
        size_t count = json_array_size(said->recipients);
        scoped(scoped_free) const char **recipients = new_zeroed(count + 1, sizeof *recipients);
        scoped(scoped_free) const char **notify = new_zeroed(count + 1, sizeof *notify);
        scoped(scoped_free) const char **originals = new_zeroed(count + 1, sizeof *originals);

        for (size_t i = 0; i < count; i++) {
                recipients[i] = json_string_value(json_array_get(said->recipients, i));
                notify[i] = notify_of(in, i);
                const char *original = json_string_value(json_array_get(said->originals, i));
                originals[i] = original && original[0] ? original : NULL;
        }
        struct submit_order order = {
                .account = said->account,
                .any_account = permit(peer, PERMIT_ADMIN),
                .from = said->from,
                .author = said->author,
                .recipients = recipients,
                .notify = notify,
                .originals = originals,
                .recipient_count = count,
                .partial = said->partial,
                .ret = in->returns[0] ? in->returns : NULL,
                .envelope_id = said->envelope_id,
                .key = said->key,
                .urgent = same_text(said->priority, "urgent"),
                .held = said->hold,
                .who = call_who(call),
                .owner = peer->uid,
                .in_charge = permit(peer, PERMIT_ADMIN),
                .fd = fd,
                .bytes = bytes,
                .len = len,
                .problems = problems,
        };
        bool waited_for = !call_is_oneway(call); /* else nobody needs to stay for it */
        struct submitting *submitting = submit_mail(&order, was_submitted, call);
        if (submitting && waited_for)
                call_on_cancel(call, give_up, submitting);
}

void on_submit(struct call *call)
{
        struct submitted in = { .said = call_parameters(call) };
        struct causes problems = { 0 };
        uint8_t *bytes = NULL;
        size_t len = 0;
        bool described = in.said->said[PARAMETER_DESCRIPTOR];

        check_words(&in, &problems);
        check_reports(&in, &problems);
        check_originals(&in, &problems);
        if (in.said->message && base64_decode(in.said->message, strlen(in.said->message), &bytes, &len) < 0)
                cause_about(causes_add(&problems), CAUSE_INVALID, "message", "is not base64");
        int fd = described ? call_take_fd(call, (size_t)in.said->descriptor) : -1;
        if (described && fd < 0)
                cause_about(causes_add(&problems), CAUSE_INVALID, "descriptor",
                            "no descriptor of that number came along");
        submit(call, &in, fd, bytes, len, &problems);
        causes_free(&problems);
        free(in.notifies);
}
