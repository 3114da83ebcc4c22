/* SPDX-License-Identifier: MIT */
/* Mail taken in; see submit.h. */
#include "daemon/outgoing/submit.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/mailboxes.h"
#include "common/names.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/index.h"
#include "daemon/events.h"
#include "daemon/local_names.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/outgoing/sender.h"
#include "daemon/settings.h"
#include "daemon/store/client_file.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/taking.h"

enum { PROBLEMS_TOLD = 20 };

struct submitting {
        struct submit_order order; /* with copies of its own */
        char *account;             /* where it goes */
        uint64_t ticket;           /* of its taking; 0: not begun */
        json_t *refused;
        struct causes problems;
        void (*done)(void *ctx, const struct submit_answer *answer,
                     const struct causes *problems); /* NULL: given up */
        void *ctx;
};

static void free_texts(const char *const *texts, size_t count)
{
        for (size_t i = 0; texts && i < count; i++)
                free((char *)(uintptr_t)texts[i]);
        free((void *)(uintptr_t)texts);
}

static void submitting_free(struct submitting *submitting)
{
        struct submit_order *order = &submitting->order;
        const char *texts[] = { order->account,     order->from, order->author, order->ret,
                                order->envelope_id, order->key,  order->who,    order->trace };

        for (size_t i = 0; i < count_of(texts); i++)
                free((char *)(uintptr_t)texts[i]);
        free_texts(order->recipients, order->recipient_count);
        free_texts(order->notify, order->recipient_count);
        free_texts(order->originals, order->recipient_count);
        client_file_close(order->fd);
        free(order->bytes);
        free(submitting->account);
        json_decref(submitting->refused);
        causes_free(&submitting->problems);
        free(submitting);
}

void submit_give_up(struct submitting *submitting)
{
        submitting->done = NULL;
        taking_cancel(submitting->ticket);
}

/* ---- which account ---- */

struct account *submit_account(const char *given, struct cause *cause)
{
        scoped(scoped_free) char *sender = given && given[0] ? address_on_wire(given) : NULL;
        struct account *named = sender ? index_sender(sender) : NULL;

        if (named)
                return named;
        struct account *own = sender ? index_own(sender) : NULL;
        const char *default_name = settings_current()->default_account;
        struct account *standard = accounts_default(cause);
        if (standard || !own || (default_name && default_name[0]))
                return standard;
        cause_clear(cause);
        return own;
}

/* The account that it goes to, with the rules of who may use it. */
static struct account *account_for(const struct submit_order *order, const char *sender, struct cause *cause)
{
        struct account *chosen = submit_account(sender, cause);
        struct account *account = order->account ? account_named(order->account) : chosen;

        if (order->account && !order->any_account &&
            (!account || (account != chosen && account != accounts_default(NULL)))) {
                /* the same words whether there is such an account or not */
                cause_set(cause, CAUSE_PERMISSION, "%s may submit mail to the default account only",
                          order->who);
                return NULL;
        }
        if (order->account && !account)
                (void)cause_missing(cause, MISSING_ACCOUNT, "account", order->account);
        return !account || account_takes_mail(account, cause) < 0 ? NULL : account;
}

/* ---- sender and recipients ---- */

static void check_sender(const struct submitting *submitting, const char *from, const struct account *account,
                         struct causes *problems)
{
        struct cause cause = { 0 };

        if (!submitting->order.from && !from[0]) {
                struct cause *problem = causes_add(problems);
                cause_about(problem, CAUSE_INVALID, "from", "no sender: account %s has no from",
                            account->name);
                cause_remedy(problem, "give --from ADDRESS, or: emailsecctl account set %s from=ADDRESS",
                             account->name);
        } else if (address_check(from, true, &cause) < 0) {
                struct cause *problem = causes_add(problems);
                cause_about(problem, CAUSE_INVALID, "from", "%s", cause.text);
                cause_remedy(problem, "give --from ADDRESS, or set the account's property from");
        }
}

/* The envelope's recipients, as they become. */
struct envelope {
        const char **recipients, **notify, **originals;
        size_t count, room;
        const char *wish, *original; /* notify and original of the recipient that is being looked at */
        bool overfull;
};

static void envelope_free(struct envelope *envelope)
{
        free_texts(envelope->recipients, envelope->count);
        free(envelope->notify);
        free(envelope->originals);
}

/* Each once: the first wins. */
static void add_recipient(void *ctx, const char *address)
{
        struct envelope *envelope = ctx;

        for (size_t i = 0; i < envelope->count; i++)
                if (strcmp(envelope->recipients[i], address) == 0)
                        return;
        if (envelope->count == LIMIT_RECIPIENTS) {
                envelope->overfull = true;
                return;
        }
        if (envelope->count == envelope->room) {
                envelope->room = 2 * envelope->room + 8;
                envelope->recipients =
                        new_resized(envelope->recipients, envelope->room, sizeof *envelope->recipients);
                envelope->notify = new_resized(envelope->notify, envelope->room, sizeof *envelope->notify);
                envelope->originals =
                        new_resized(envelope->originals, envelope->room, sizeof *envelope->originals);
        }
        envelope->notify[envelope->count] = envelope->wish;
        envelope->originals[envelope->count] = envelope->original;
        envelope->recipients[envelope->count++] = copy_text(address);
}

static int look_up(const struct local_names *names, const char *recipient, struct envelope *envelope,
                   struct cause *cause)
{
        if (!mailbox_is_local(recipient) && address_check(recipient, false, cause) < 0)
                return -1;
        if (!names) {
                add_recipient(envelope, recipient);
                return 0;
        }
        size_t before = envelope->count;
        if (local_names_resolve(names, recipient, add_recipient, envelope, cause) == 0)
                return 0;
        while (envelope->count > before) /* refused as a whole */
                free((char *)(uintptr_t)envelope->recipients[--envelope->count]);
        return -1;
}

struct checking {
        char *recipient;
        void (*done)(void *ctx, const struct cause *cause);
        void *ctx;
};

static void check_now(void *ctx)
{
        struct checking *checking = ctx;
        struct envelope envelope = { 0 };
        struct cause cause = { 0 };
        struct local_names *names = local_names_hold();
        int result = look_up(names, checking->recipient, &envelope, &cause);

        local_names_release(names);
        envelope_free(&envelope);
        checking->done(checking->ctx, result < 0 ? &cause : NULL);
        free(checking->recipient);
        free(checking);
}

bool submit_check_recipient(const char *recipient, void (*done)(void *ctx, const struct cause *cause),
                            void *ctx)
{
        struct checking *checking = new_object(struct checking);
        struct local_names *names = local_names_hold();
        bool now = !names || !local_names_concern(names, recipient);

        *checking = (struct checking){ .recipient = copy_text(recipient), .done = done, .ctx = ctx };
        local_names_release(names);
        if (now)
                check_now(checking);
        else
                local_names_look(check_now, checking);
        return now;
}

static void refuse_recipient(json_t *refused, const char *recipient, const struct cause *why)
{
        json_t *one = json_object();

        json_put_text(one, "address", recipient);
        json_put_text(one, "text", why->text);
        (void)json_array_append_new(refused, one);
}

static void find_recipients(struct submitting *submitting, const struct local_names *names,
                            struct envelope *envelope, struct causes *problems)
{
        const struct submit_order *order = &submitting->order;
        scoped(causes_free) struct causes bad = { 0 };

        if (!order->recipient_count || order->recipient_count > LIMIT_RECIPIENTS) {
                cause_about(causes_add(problems), CAUSE_INVALID, "recipients",
                            "%zu recipients: there must be 1 to %d", order->recipient_count,
                            LIMIT_RECIPIENTS);
                return;
        }
        for (size_t i = 0; i < order->recipient_count; i++) {
                struct cause cause = { 0 };
                envelope->wish = order->notify ? order->notify[i] : NULL;
                envelope->original = order->originals ? order->originals[i] : NULL;
                if (look_up(names, order->recipients[i], envelope, &cause) == 0)
                        continue;
                refuse_recipient(submitting->refused, order->recipients[i], &cause);
                if (bad.count < PROBLEMS_TOLD)
                        *causes_add(&bad) = cause;
        }
        if (envelope->overfull)
                cause_about(causes_add(problems), CAUSE_INVALID, "recipients",
                            "more than %d recipients behind local names", LIMIT_RECIPIENTS);
        bool enough = order->partial && envelope->count;
        for (size_t i = 0; i < bad.count && !enough; i++) {
                struct cause *problem = causes_add(problems);
                cause_about(problem, CAUSE_INVALID, "recipients", "%s", bad.items[i].text);
                if (bad.items[i].remedy[0])
                        cause_remedy(problem, "%s", bad.items[i].remedy);
        }
}

/* ---- into the queue ---- */

/* Answers for the last time. */
static void tell_done(struct submitting *submitting, const struct submit_answer *what,
                      const struct causes *problems)
{
        if (submitting->done)
                submitting->done(submitting->ctx, what, problems);
}

/* In one block with its texts: mail comes in thousands, and mostly nobody looks. */
struct queued_event {
        size_t recipients;
        const char *submitter; /* in `id`, behind it */
        char id[];
};

static json_t *queued_data(const void *of)
{
        const struct queued_event *queued = of;
        json_t *data = json_object();

        json_put_text(data, "id", queued->id);
        json_put_text(data, "submittedBy", queued->submitter);
        json_put(data, "recipients", json_integer((json_int_t)queued->recipients));
        return data;
}

static char *queued_text(const void *of)
{
        const struct queued_event *queued = of;

        return text_of("%s: handed in by %s, %zu recipient%s", queued->id, queued->submitter,
                       queued->recipients, queued->recipients == 1 ? "" : "s");
}

static void emit_queued(const struct submitting *submitting, const char *id, size_t recipients)
{
        static const struct event_recipe recipe = { .data = queued_data, .text = queued_text };
        const char *who = submitting->order.who ? submitting->order.who : "";
        size_t id_size = strlen(id) + 1, who_size = strlen(who) + 1;
        struct queued_event *queued = new_zeroed(1, sizeof *queued + id_size + who_size);

        queued->recipients = recipients;
        memcpy(queued->id, id, id_size);
        memcpy(queued->id + id_size, who, who_size);
        queued->submitter = queued->id + id_size;
        event_emit_of(EVENT_MAIL_QUEUED, submitting->account, &recipe, queued);
}

static void tell_accepted(const struct submitting *submitting, const char *id)
{
        struct subject subject = { .account = submitting->account, .direction = "outgoing", .queue_id = id };
        struct account *account = account_named(submitting->account);
        size_t count = submitting->order.recipient_count - json_array_size(submitting->refused);

        log_about(&subject, LOG_INFO, MSG_QUEUED, "%s: accepted from %s for %s, %zu recipient%s", id,
                  submitting->order.who, submitting->account, count, count == 1 ? "" : "s");
        for (size_t i = 0; i < json_array_size(submitting->refused); i++)
                log_about(&subject, LOG_WARNING, MSG_QUEUED, "%s: one recipient is left out: %s", id,
                          json_string_value(json_object_get(json_array_get(submitting->refused, i), "text")));
        emit_queued(submitting, id, count);
        if (account && account->sender)
                sender_kick(account->sender);
        manager_status_changed();
}

static void was_queued(void *ctx, const char *id, bool duplicate, const struct cause *cause)
{
        struct submitting *submitting = ctx;

        if (cause_happened(cause)) {
                struct cause why = *cause;
                tell_done(submitting, NULL, &(struct causes){ .items = &why, .count = 1 });
        } else {
                if (!duplicate)
                        tell_accepted(submitting, id);
                tell_done(submitting,
                          &(struct submit_answer){ .id = id,
                                                   .account = submitting->account,
                                                   .duplicate = duplicate,
                                                   .refused = submitting->refused },
                          NULL);
        }
        submitting_free(submitting);
}

static void mail_comes(const char *name)
{
        struct account *account = account_named(name);

        if (account && account->sender)
                sender_expect(account->sender);
}

static void queue(struct submitting *submitting, const struct account *account, const char *from,
                  struct local_names *names, const struct envelope *envelope)
{
        struct submit_order *order = &submitting->order;
        const struct property_values *values = &account->values;
        const char *reply_to = prop_text(values, PROP_REPLY_TO), *own_from = prop_text(values, PROP_FROM);
        struct submission submission = {
                .account = account->name,
                .from = from,
                .recipients = envelope->recipients,
                .recipient_count = envelope->count,
                .notify = order->notify ? envelope->notify : NULL,
                .originals = order->originals ? envelope->originals : NULL,
                .ret = order->ret,
                .envelope_id = order->envelope_id,
                .priority = order->urgent,
                .key = order->key,
                .submitted_by = order->who,
                .rules = {
                        .hostname = settings_current()->hostname,
                        .from = from[0] ? from : own_from,
                        .reply_to = reply_to[0] ? reply_to : NULL,
                        .trace = order->trace,
                        .now = loop_wall(),
                        .max_size = (uint64_t)settings_current()->max_message_size,
                        .names = names,
                },
                .lifetime = prop_number(values, PROP_QUEUE_LIFETIME),
                .account_clock = account_clock(account),
                .max_queue = (size_t)prop_number(values, PROP_MAX_QUEUE_SIZE),
                .max_disk = (uint64_t)settings_current()->queue_size_limit,
                .held = order->held,
                .owner = order->owner,
                .in_charge = order->in_charge,
                .fd = order->fd,
                .bytes = order->bytes,
                .len = order->len,
                .coming = order->held ? NULL : mail_comes,
        };

        submitting->account = copy_text(account->name);
        order->fd = -1; /* the queue's from here on */
        submitting->ticket = queue_submit(&submission, was_queued, submitting);
        free(take(order->bytes));
}

/* What is known of local names is as new as it has to be. False: it was answered, with what is wrong, and has
 * gone. */
static bool go_on(struct submitting *submitting)
{
        const struct submit_order *order = &submitting->order;
        struct local_names *names = local_names_hold();
        struct causes *problems = &submitting->problems;
        struct envelope envelope = { 0 };
        struct cause cause = { 0 };
        scoped(scoped_free) char *sender =
                order->from && names ? local_names_sender(names, order->from) : copy_text(order->from);
        struct account *account = account_for(order, sender ? sender : order->author, &cause);

        if (account) {
                const char *from = sender ? sender : prop_own_address(&account->values);
                check_sender(submitting, from, account, problems);
                find_recipients(submitting, names, &envelope, problems);
                if (!problems->count)
                        queue(submitting, account, from, names, &envelope);
        } else {
                problems->count = 0; /* this alone matters */
                *causes_add(problems) = cause;
        }
        bool good = problems->count == 0;
        if (!good) {
                tell_done(submitting, NULL, problems);
                submitting_free(submitting);
        }
        envelope_free(&envelope);
        local_names_release(names);
        return good;
}

static void names_looked_at(void *ctx)
{
        struct submitting *submitting = ctx;

        if (submitting->done)
                (void)go_on(submitting);
        else
                submitting_free(submitting); /* given up, and nothing was begun */
}

static bool names_concern(const struct submit_order *order)
{
        struct local_names *names = local_names_hold();
        bool any = names && order->from && local_names_concern(names, order->from);

        for (size_t i = 0; names && i < order->recipient_count && !any; i++)
                any = local_names_concern(names, order->recipients[i]);
        local_names_release(names);
        return any;
}

static const char *const *copy_texts(const char *const *texts, size_t count)
{
        const char **copies = texts ? new_zeroed(count + 1, sizeof *copies) : NULL;

        for (size_t i = 0; copies && i < count; i++)
                copies[i] = copy_text(texts[i]);
        return copies;
}

static struct submitting *submitting_new(const struct submit_order *order)
{
        struct submitting *submitting = new_object(struct submitting);
        struct submit_order *own = &submitting->order;

        *own = *order;
        own->account = copy_text(order->account);
        own->from = copy_text(order->from);
        own->author = copy_text(order->author);
        own->recipients = copy_texts(order->recipients, order->recipient_count);
        own->notify = copy_texts(order->notify, order->recipient_count);
        own->originals = copy_texts(order->originals, order->recipient_count);
        own->ret = copy_text(order->ret);
        own->envelope_id = copy_text(order->envelope_id);
        own->key = copy_text(order->key);
        own->who = copy_text(order->who);
        own->trace = copy_text(order->trace);
        submitting->refused = json_array();
        for (size_t i = 0; order->problems && i < order->problems->count; i++)
                *causes_add(&submitting->problems) = order->problems->items[i];
        own->problems = NULL;
        return submitting;
}

struct submitting *submit_mail(const struct submit_order *order,
                               void (*done)(void *ctx, const struct submit_answer *answer,
                                            const struct causes *problems),
                               void *ctx)
{
        struct submitting *submitting = submitting_new(order);

        submitting->done = done;
        submitting->ctx = ctx;
        if (!names_concern(order))
                return go_on(submitting) ? submitting : NULL;
        local_names_look(names_looked_at, submitting);
        return submitting;
}
