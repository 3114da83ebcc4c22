/* SPDX-License-Identifier: MIT */
/* A message of the station's own on its way into a queue; see own_message.h. */
#include "daemon/service/own_message.h"

#include "common/buf.h"
#include "common/limits.h"
#include "daemon/accounts/accounts.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/outgoing/sender.h"
#include "daemon/settings.h"

#include <unistd.h>

/* Letters of the station are a few kilobytes; the bound is for what they quote. */
enum { LETTER_MOST = 256 * KIB };

struct sending_own {
        char *account, *what;
        void (*done)(void *ctx, const char *id, const struct cause *cause);
        void *ctx;
};

/* On the loop, once the queue has it on disk or has refused it; `done` is called in any case. The account
 * may have gone meanwhile. */
static void was_queued(void *ctx, const char *id, bool duplicate, const struct cause *cause)
{
        scoped(scoped_free) struct sending_own *own = ctx;
        scoped(scoped_free) char *name = own->account, *what = own->what;
        struct account *account = account_named(name);

        (void)duplicate; /* it has no key */
        if (!cause_happened(cause)) {
                struct subject subject = { .account = name, .direction = "outgoing", .queue_id = id };
                log_about(&subject, LOG_INFO, MSG_QUEUED, "%s: %s for %s", id, what, name);
                if (account && account->sender)
                        sender_kick(account->sender);
                manager_status_changed();
        }
        own->done(own->ctx, id, cause);
}

/* "" where the account has neither: then it cannot send a letter of the station's own. */
static const char *from_of(const struct account *account)
{
        const char *from = prop_text(&account->values, PROP_FROM),
                   *user = prop_text(&account->values, PROP_ACCOUNT);

        return !from[0] && strchr(user, '@') ? user : from;
}

/* Line ends are LF and no Date is set: the queue completes the message as it does with any draft. Bytes
 * beyond ASCII become "?", so that the declared charset is true and no server needs 8BITMIME. */
static char *draft_text(const struct own_letter *letter, const char *from)
{
        struct buf text = BUF_WITH_MAX(LETTER_MOST);

        if (buf_appendf(&text, "From: \"Mail station %s\" <%s>\nTo: <%s>\nSubject: ",
                        settings_current()->hostname, from, letter->to) < 0 ||
            buf_appendf(&text, "%s\n%s%s%s", letter->subject, letter->message_id ? "Message-ID: " : "",
                        letter->message_id ? letter->message_id : "", letter->message_id ? "\n" : "") < 0 ||
            buf_appendf(&text,
                        "Auto-Submitted: auto-generated\nMIME-Version: 1.0\n"
                        "Content-Type: text/plain; charset=us-ascii\n\n%s",
                        letter->body) < 0)
                abort(); /* whoever writes one keeps it short */
        char *bytes = buf_take_text(&text);
        for (char *at = bytes; *at; at++)
                if ((unsigned char)*at >= 0x80)
                        *at = '?';
        return bytes;
}

/* Auto-Submitted (RFC 3834, 5) keeps responders from answering. With -1 `done` is not called. The letter
 * obeys the account's limits as all mail does, but may have a shorter lifetime of its own. */
int own_letter_send(struct account *account, const struct own_letter *letter,
                    void (*done)(void *ctx, const char *id, const struct cause *cause), void *ctx,
                    struct cause *cause)
{
        const struct property_values *values = &account->values;
        const char *from = from_of(account), *recipients[] = { letter->to };
        int64_t lifetime = prop_number(values, PROP_QUEUE_LIFETIME);

        if (account_takes_mail(account, cause) < 0)
                return -1;
        if (!from[0]) {
                (void)cause_about(cause, CAUSE_INVALID, "from", "account %s has no address to send from",
                                  account->name);
                cause_remedy(cause, "emailsecctl account set %s from=ADDRESS", account->name);
                return -1;
        }
        scoped(scoped_free) char *text = draft_text(letter, from),
                                 *by = text_of("the station (%s)", letter->what);
        struct sending_own *own = new_object(struct sending_own);
        *own = (struct sending_own){
                .account = copy_text(account->name), .what = copy_text(letter->what), .done = done, .ctx = ctx
        };
        struct submission submission = {
                .account = account->name,
                .from = from,
                .recipients = recipients,
                .recipient_count = 1,
                .submitted_by = by,
                .rules = { .hostname = settings_current()->hostname,
                           .from = from,
                           .now = loop_wall(),
                           .max_size = LETTER_MOST },
                .lifetime = letter->lifetime < lifetime ? letter->lifetime : lifetime,
                .account_clock = account_clock(account),
                .max_queue = (size_t)prop_number(values, PROP_MAX_QUEUE_SIZE),
                .max_disk = (uint64_t)settings_current()->queue_size_limit,
                .owner = geteuid(),
                .in_charge = true,
                .fd = -1,
                .bytes = text,
                .len = strlen(text),
        };
        (void)queue_submit(&submission, was_queued, own);
        return 0;
}
