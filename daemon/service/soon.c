/* SPDX-License-Identifier: MIT */
/* What becomes a fault before long; see soon.h. */
#include "daemon/service/soon.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/times.h"
#include "daemon/events.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/session/server_certificates.h"
#include "daemon/store/reserve.h"
#include "daemon/tls/allowed.h"

enum { A_DAY = 86400 };

static void push(json_t *list, const struct cause *cause)
{
        if (json_array_append_new(list, cause_json(cause)) < 0)
                abort();
}

static void push_certificate(void *list, const char *sentence)
{
        struct cause cause;

        (void)cause_set(&cause, CAUSE_CERTIFICATE, "%s", sentence);
        cause_remedy(&cause, "have the server's operator renew it");
        push(list, &cause);
}

/* ---- exemptions ---- */

/* The cause, and how many days it is about; 0: it is too early to say anything. */
static int ending(const struct allowed_end *end, struct cause *cause)
{
        int64_t left = (int64_t)end->time - (int64_t)loop_wall(), days = left / A_DAY;
        int due = expiry_warning_due(left < 0 ? -1 : days);
        char when[32];

        time_rfc3339((int64_t)end->time, when);
        if (days < 1)
                (void)cause_set(cause, CAUSE_CHALLENGE, "the exemption for %s:%u ends within a day, at %s",
                                end->host, end->port, when);
        else
                (void)cause_set(cause, CAUSE_CHALLENGE, "the exemption for %s:%u ends in %lld day%s, at %s",
                                end->host, end->port, (long long)days, days == 1 ? "" : "s", when);
        cause_remedy(cause,
                     "import the issuer: emailsecctl trust import FILE; or approve it for longer: "
                     "emailsecctl allowed show %s",
                     end->id);
        return due;
}

static void push_exemption(void *list, const struct allowed_end *end)
{
        struct cause cause;

        if (ending(end, &cause))
                push(list, &cause);
}

static void tell_exemption(void *ctx, const struct allowed_end *end)
{
        struct cause cause;
        int due = ending(end, &cause);
        struct subject subject = { .host = end->host,
                                   .port = end->port,
                                   .cert_sha256 = end->fingerprint,
                                   .challenge_id = end->id,
                                   .cause = &cause };
        (void)ctx;

        if (!due || (*end->warned && *end->warned <= due))
                return;
        *end->warned = due;
        log_about(&subject, LOG_WARNING, MSG_EXEMPTION_ENDS, "%s", cause.text);
        json_t *data = json_object();
        json_put_text(data, "id", end->id);
        json_put_text(data, "host", end->host);
        json_put(data, "port", json_integer(end->port));
        json_put_time(data, "expires", (int64_t)end->time);
        event_emit(EVENT_ALLOWED_ENDS, NULL, data, "%s", cause.text);
}

void soon_check(void)
{
        allowed_ends(tell_exemption, NULL);
}

/* ---- the disk ---- */

static void push_disk(json_t *list)
{
        struct disk_room room = reserve_room();
        struct cause cause;

        if (!room.reserve || room.free < room.reserve || room.free / 2 >= room.reserve)
                return;
        (void)cause_set(&cause, CAUSE_STORAGE,
                        "the disk of the state folder has %llu MiB free; with less than %llu MiB nothing is "
                        "fetched (DiskReserve)",
                        (unsigned long long)(room.free / MIB), (unsigned long long)(room.reserve / MIB));
        cause_remedy(&cause, "make room on that disk (received mail lies in mail/)");
        push(list, &cause);
}

json_t *soon_causes(void)
{
        json_t *list = json_array();

        certificates_ending(push_certificate, list);
        allowed_ends(push_exemption, list);
        push_disk(list);
        return list;
}
