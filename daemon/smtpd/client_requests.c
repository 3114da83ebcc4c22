/* SPDX-License-Identifier: MIT */
/* Who may send, and what becomes of a message: the answers to a client's MAIL, RCPT, DATA and last dot. */
#include "common/limits.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/devices.h"
#include "daemon/control/permit.h"
#include "daemon/networks.h"
#include "daemon/outgoing/submit.h"
#include "daemon/settings.h"
#include "daemon/smtpd/client_parts.h"
#include "daemon/smtpd/peer_uid.h"
#include "daemon/smtpd/slots.h"

#include <strings.h>
#include <unistd.h>

#define NETWORK_OWNER ((uid_t) - 2) /* whose share of the intake's threads those of the network have */

/* ---- who it is ---- */

static int diag = -1;

void smtpd_clients_ask(int with)
{
        diag = with;
}

static void named(void *ctx, const char *name)
{
        struct smtpd_client *v = ctx;
        struct peer peer = { .uid = v->slot.uid };
        const gid_t *groups = NULL;
        size_t count = name && v->naming ? username_groups(v->naming, &groups) : 0;

        for (size_t i = 0; i < count && i < PEER_GROUPS; i++)
                peer.groups[peer.group_count++] = groups[i];
        v->naming = NULL;
        v->may_submit = permit(&peer, PERMIT_SUBMIT);
        v->in_charge = permit(&peer, PERMIT_ADMIN);
        if (name)
                (void)snprintf(v->who, sizeof v->who, "%s (uid %u)", name, v->slot.uid);
        if (!v->waits_for_name)
                return;
        v->waits_for_name = false;
        if (!v->gone)
                smtpd_client_resume(v);
}

void smtpd_client_identify(struct smtpd_client *v, const struct sockaddr_storage *peer)
{
        struct sockaddr_storage here, plain = *peer;
        socklen_t len = sizeof here;
        struct cause cause = { 0 };

        address_unmap(&plain);
        smtpd_slot_address(&v->slot, &plain);
        (void)snprintf(v->who, sizeof v->who, "%s", connection_address(v->connection));
        v->slot.local = address_is_loopback(peer);
        v->let_in = networks_have(settings_current()->allow_from, peer);
        if (!v->slot.local)
                return;
        v->slot.uid = (uid_t)-1;
        if (getsockname(connection_fd(v->connection), (struct sockaddr *)&here, &len) < 0 ||
            peer_uid(diag, peer, &here, &v->slot.uid, &cause) < 0)
                return;
        (void)snprintf(v->who, sizeof v->who, "uid %u", v->slot.uid);
        v->naming = username_and_groups(v->slot.uid, named, v);
        if (!v->naming)
                named(v, NULL);
}

/* ---- causes as replies ---- */

static const struct smtpd_client_reply {
        enum cause_code cause;
        int code;
        const char *enhanced;
} replies[] = {
        { CAUSE_PERMISSION, 550, "5.7.1" }, { CAUSE_TOO_LARGE, 552, "5.3.4" },
        { CAUSE_UNSENDABLE, 554, "5.6.0" }, { CAUSE_QUEUE_FULL, 452, "4.3.1" },
        { CAUSE_STORAGE, 452, "4.3.1" },    { CAUSE_INVALID, 550, "5.1.3" },
        { CAUSE_NOT_FOUND, 451, "4.3.5" },  { CAUSE_DISABLED, 451, "4.3.5" },
        { CAUSE_STATE, 451, "4.3.5" },
};

static struct esmtp_answer answer_for(const struct cause *cause)
{
        struct esmtp_answer answer = {
                .code = 451, .enhanced = "4.3.0", .text = cause->text, .remedy = cause_remedy_of(cause)
        };

        for (size_t i = 0; i < count_of(replies); i++)
                if (replies[i].cause == cause->code) {
                        answer.code = replies[i].code;
                        answer.enhanced = replies[i].enhanced;
                }
        if (cause->code == CAUSE_INVALID && same_text(cause->property, "from"))
                answer.enhanced = "5.1.7";
        return answer;
}

/* ---- MAIL and RCPT ---- */

/* Whether who it is may send: from the network signed in, or from a network that is let in; of this machine
 * as at the control socket. Never anybody else (security rule 29). */
static bool may_send(const struct smtpd_client *v, struct esmtp_answer *no)
{
        const struct device *device = v->device ? device_named(v->device) : NULL;
        const char *from = esmtp_envelope(v->esmtp)->from;

        if (v->device && !device) {
                *no = (struct esmtp_answer){
                        .code = 535, .enhanced = "5.7.8", .text = "this device was deleted", .end = true
                };
                return false;
        }
        if (device && device->from && from[0] && strcasecmp(device->from, from) != 0) {
                *no = (struct esmtp_answer){ .code = 553,
                                             .enhanced = "5.7.1",
                                             .text = "this device may name another sender only",
                                             .remedy = device->from };
                return false;
        }
        if (v->device || v->let_in || v->may_submit)
                return true;
        *no = (struct esmtp_answer){ .code = 550,
                                     .enhanced = "5.7.1",
                                     .remedy = "emailsecd.conf(5): AllowSubmit" };
        if (v->slot.local && v->slot.uid != (uid_t)-1) {
                no->text = "this user may not submit mail";
        } else if (v->slot.local) {
                no->text = "who you are could not be told";
                no->remedy = "stay connected until the message is accepted";
        } else {
                no->code = 530;
                no->enhanced = "5.7.0";
                no->text = "sign in first, inside TLS; this is no relay";
                no->remedy = "emailsecctl device add, on the station; or AllowFrom= in its emailsecd.conf";
        }
        return false;
}

/* By the device, else by the sender, else the default. */
static struct account *account_for(const struct smtpd_client *v, struct cause *cause)
{
        const struct device *device = v->device ? device_named(v->device) : NULL;

        if (!device || !device->account)
                return submit_account(esmtp_envelope(v->esmtp)->from, cause);
        struct account *account = account_named(device->account);
        if (!account)
                cause_about(cause, CAUSE_NOT_FOUND, "account", "there is no account \"%s\"", device->account);
        return account;
}

void smtpd_client_on_mail(struct smtpd_client *v)
{
        struct esmtp_answer answer = { 0 };
        struct cause cause = { 0 };

        if (v->naming) {
                v->waiting = v->waits_for_name = true;
                return;
        }
        if (!may_send(v, &answer)) {
                smtpd_client_refuse(v, REFUSED_PERMISSION, &answer);
                return;
        }
        struct account *account = account_for(v, &cause);
        if (!account || account_takes_mail(account, &cause) < 0) {
                answer = answer_for(&cause);
                smtpd_client_refuse(v, REFUSED_MESSAGE, &answer);
                return;
        }
        esmtp_answer(v->esmtp, &answer);
}

/* Who asked about a recipient, and may have gone when what local names stand for is known. */
struct recipient_check {
        handle_id client;
        bool later;
};

static void recipient_checked(void *ctx, const struct cause *cause)
{
        struct recipient_check *check = ctx;
        struct smtpd_client *v = handle_object(check->client);
        struct esmtp_answer answer = { 0 };
        bool later = check->later;

        free(check);
        if (!v || v->gone || v->leaving)
                return;
        if (cause)
                answer = answer_for(cause);
        esmtp_answer(v->esmtp, &answer);
        if (later)
                smtpd_client_resume(v);
}

void smtpd_client_on_recipient(struct smtpd_client *v)
{
        const struct esmtp_envelope *envelope = esmtp_envelope(v->esmtp);
        struct recipient_check *check = new_object(struct recipient_check);

        check->client = v->self;
        if (!submit_check_recipient(envelope->recipients[envelope->recipient_count - 1].address,
                                    recipient_checked, check)) {
                check->later = true; /* it is still there: the answer comes on another turn */
                v->waiting = true;
        }
}

/* ---- the message ---- */

static void spool_written(void *ctx)
{
        smtpd_client_resume(ctx);
}

void smtpd_client_body(void *ctx, const uint8_t *bytes, size_t len)
{
        struct smtpd_client *v = ctx;

        v->body_bytes += len;
        if (v->spool)
                spool_add(v->spool, bytes, len);
}

void smtpd_client_forget(void *ctx)
{
        struct smtpd_client *v = ctx;

        spool_free(take(v->spool));
        if (v->submitting)
                submit_give_up(take(v->submitting));
}

void smtpd_client_on_data(struct smtpd_client *v)
{
        static const struct esmtp_answer yes = { 0 };

        spool_free(v->spool);
        v->spool = spool_new(spool_written, v);
        v->body_bytes = 0;
        v->body_since = loop_now();
        esmtp_answer(v->esmtp, &yes);
}

/* RFC 5321 section 4.4. What the client calls itself is said where it is a name; who is behind an address of
 * this machine is nobody's business further on. */
static char *trace_field(const struct smtpd_client *v)
{
        const char *hello = esmtp_hello(v->esmtp), *address = connection_address(v->connection);
        bool six = strchr(address, ':') != NULL;
        char date[48];

        time_rfc5322(loop_wall(), date);
        return text_of("Received: from %s ([%s%s])\r\n\tby %s with %s;\r\n\t%s\r\n",
                       hello[0] ? hello : "unknown", six ? "IPv6:" : "", address,
                       settings_current()->hostname, esmtp_protocol(v->esmtp), date);
}

static void was_submitted(void *ctx, const struct submit_answer *answer, const struct causes *problems)
{
        struct smtpd_client *v = ctx;
        struct esmtp_answer reply = { 0 };

        v->submitting = NULL;
        if (answer) {
                scoped(scoped_free) char *text = text_of("queued as %s", answer->id);
                reply.text = text;
                submission_counts.accepted++;
                v->accepted++;
                esmtp_answer(v->esmtp, &reply);
        } else {
                reply = answer_for(&problems->items[0]);
                smtpd_client_refuse(v, REFUSED_MESSAGE, &reply);
        }
        smtpd_client_resume(v);
}

static void submit(struct smtpd_client *v)
{
        const struct esmtp_envelope *envelope = esmtp_envelope(v->esmtp);
        size_t count = envelope->recipient_count;
        scoped(scoped_free) const char **recipients = new_zeroed(count, sizeof *recipients);
        scoped(scoped_free) const char **notify = new_zeroed(count, sizeof *notify);
        scoped(scoped_free) const char **originals = new_zeroed(count, sizeof *originals);
        scoped(scoped_free) char *trace = trace_field(v);
        const struct device *device = v->device ? device_named(v->device) : NULL;
        struct submit_order order = {
                .account = device ? device->account : NULL,
                .any_account = true,
                .from = envelope->from,
                .recipients = recipients,
                .notify = notify,
                .originals = originals,
                .recipient_count = count,
                .ret = envelope->ret[0] ? envelope->ret : NULL,
                .envelope_id = envelope->envelope_id,
                .trace = trace,
                .who = v->who,
                .owner = v->slot.local && v->slot.uid != (uid_t)-1 ? v->slot.uid : NETWORK_OWNER,
                .in_charge = v->in_charge,
        };

        for (size_t i = 0; i < count; i++) {
                recipients[i] = envelope->recipients[i].address;
                notify[i] = envelope->recipients[i].notify[0] ? envelope->recipients[i].notify : NULL;
                originals[i] = envelope->recipients[i].original;
        }
        spool_take(v->spool, &order.fd, &order.bytes, &order.len);
        v->waiting = true;
        struct submitting *submitting = submit_mail(&order, was_submitted, v);
        if (v->waiting) /* else it was answered already */
                v->submitting = submitting;
}

void smtpd_client_on_commit(struct smtpd_client *v)
{
        spool_write(v->spool, true);
        if (spool_is_busy(v->spool)) {
                v->waiting = true;
        } else if (spool_fault(v->spool)) {
                struct esmtp_answer answer = answer_for(spool_fault(v->spool));
                smtpd_client_refuse(v, REFUSED_MESSAGE, &answer);
        } else {
                submit(v);
        }
}
