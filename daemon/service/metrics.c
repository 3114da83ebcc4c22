/* SPDX-License-Identifier: MIT */
/* Counters and states rendered as OpenMetrics (one family after the other, as the format wants). */
#include "daemon/service/metrics.h"

#include "common/buf.h"
#include "common/limits.h"
#include "daemon/accounts/accounts.h"
#include "daemon/loop.h"
#include "daemon/service/heartbeat.h"
#include "daemon/service/service.h"
#include "daemon/service/waiting.h"
#include "daemon/session/session_limits.h"
#include "daemon/store/kept.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/reserve.h"
#include "daemon/submission_counts.h"
#include "daemon/tls/allowed.h"

enum { LIMIT_METRICS = 64 * MIB };

static void put(struct buf *out, const char *format, ...) printf_like(2, 3);
static void put(struct buf *out, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        if (buf_vappendf(out, format, args) < 0)
                buf_clear(out); /* beyond any station's size: an empty text is no wrong one */
        va_end(args);
}

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
        put(out, "# TYPE emailsec_%s %s\n# HELP emailsec_%s %s\n", name, type, name, help);
}

static const char *direction(const struct account *account)
{
        return account_is_outgoing(account) ? "outgoing" : "incoming";
}

static void put_kept(struct buf *out, const char *metric, enum kept value, unsigned kinds)
{
        for (struct account *account = accounts_first(); account; account = account->next)
                if (kinds & (unsigned)account->values.kind)
                        put(out, "emailsec_%s{account=\"%s\"} %lld\n", metric, account->name,
                            (long long)kept_number(account->name, value));
}

static void put_accounts(struct buf *out)
{
        family(out, "account_up", "gauge",
               "1 when the account works, as shown by a look, a delivery or a sign-in not long ago.");
        for (struct account *account = accounts_first(); account; account = account->next)
                put(out, "emailsec_account_up{account=\"%s\",direction=\"%s\"} %d\n", account->name,
                    direction(account), account->status == ACCOUNT_OK);
        /* no stateset: node_exporter reads the older text format, which has none */
        family(out, "account_status", "gauge", "1 for the status that the account has.");
        for (struct account *account = accounts_first(); account; account = account->next)
                for (int status = ACCOUNT_OK; status <= ACCOUNT_CHALLENGE; status++)
                        put(out, "emailsec_account_status{account=\"%s\",status=\"%s\"} %d\n", account->name,
                            account_status_name((enum account_status)status), (int)account->status == status);
        family(out, "last_success_timestamp_seconds", "gauge", "When the account last worked.");
        put_kept(out, "last_success_timestamp_seconds", KEPT_LAST_POLL_SUCCESS, KIND_BOTH);
        family(out, "last_check_timestamp_seconds", "gauge",
               "When it was last looked whether the account works.");
        put_kept(out, "last_check_timestamp_seconds", KEPT_LAST_CHECKED, KIND_BOTH);
        family(out, "certificate_not_after_timestamp_seconds", "gauge",
               "End of the server certificate last seen.");
        for (struct account *account = accounts_first(); account; account = account->next)
                if (account->has_tls)
                        put(out, "emailsec_certificate_not_after_timestamp_seconds{account=\"%s\"} %lld\n",
                            account->name, (long long)account->tls.not_after);
}

static void put_handshakes(struct buf *out)
{
        family(out, "tls_handshake_seconds", "summary",
               "TLS handshakes that were completed, and the time they took.");
        for (struct account *account = accounts_first(); account; account = account->next) {
                put(out, "emailsec_tls_handshake_seconds_count{account=\"%s\"} %llu\n", account->name,
                    (unsigned long long)account->handshakes);
                put(out, "emailsec_tls_handshake_seconds_sum{account=\"%s\"} %.3f\n", account->name,
                    (double)account->handshake_ms / 1000);
        }
        family(out, "tls_resumed_handshakes", "counter",
               "Handshakes among them that resumed an earlier session.");
        for (struct account *account = accounts_first(); account; account = account->next)
                put(out, "emailsec_tls_resumed_handshakes_total{account=\"%s\"} %llu\n", account->name,
                    (unsigned long long)account->handshakes_resumed);
}

static void put_waiting_for(struct buf *out, const struct account *account, enum waiting_reason reason,
                            uint64_t messages)
{
        if (reason && messages)
                put(out, "emailsec_waiting_messages{account=\"%s\",reason=\"%s\"} %llu\n", account->name,
                    waiting_name(reason), (unsigned long long)messages);
}

static void put_waiting(struct buf *out)
{
        family(out, "waiting_messages", "gauge", "Messages that wait, by what they wait for.");
        for (struct account *account = accounts_first(); account; account = account->next) {
                if (!account_is_outgoing(account))
                        continue;
                struct queue_counts counts = queue_counts(account->name);
                uint64_t tried = counts.messages[QUEUE_DEFERRED] + counts.messages[QUEUE_AMBIGUOUS];
                struct waiting waiting;
                waiting_of(account, &waiting);
                put_waiting_for(out, account, waiting.reason ? waiting.reason : WAITING_FOR_BACKOFF,
                                waiting.reason ? waiting.messages : tried);
                put_waiting_for(out, account, WAITING_FOR_OPERATOR, counts.messages[QUEUE_HELD]);
        }
        family(out, "waiting_until_timestamp_seconds", "gauge",
               "When an account goes on by itself; absent where nobody knows.");
        for (struct account *account = accounts_first(); account; account = account->next) {
                struct waiting waiting;
                waiting_of(account, &waiting);
                if (waiting.reason && waiting.until)
                        put(out,
                            "emailsec_waiting_until_timestamp_seconds{account=\"%s\",reason=\"%s\"} %lld\n",
                            account->name, waiting_name(waiting.reason), (long long)waiting.until);
        }
}

static void put_heartbeats(struct buf *out)
{
        family(out, "heartbeat_missing", "gauge", "1 when the last heartbeat of the account did not arrive.");
        for (struct account *account = accounts_first(); account; account = account->next)
                if (account_is_outgoing(account) && prop_text(&account->values, PROP_HEARTBEAT)[0])
                        put(out, "emailsec_heartbeat_missing{account=\"%s\"} %d\n", account->name,
                            strcmp(heartbeat_state(account), "missing") == 0);
        family(out, "heartbeat_arrived_timestamp_seconds", "gauge", "When a heartbeat was last received.");
        put_kept(out, "heartbeat_arrived_timestamp_seconds", KEPT_LAST_HEARTBEAT_ARRIVED, KIND_OUTGOING);
        family(out, "heartbeat_round_trip_seconds", "gauge", "How long its round trip took.");
        put_kept(out, "heartbeat_round_trip_seconds", KEPT_LAST_HEARTBEAT_SECONDS, KIND_OUTGOING);
}

static void put_mail(struct buf *out)
{
        family(out, "queue_messages", "gauge", "Messages by account and state.");
        for (struct account *account = accounts_first(); account; account = account->next) {
                if (!account_is_outgoing(account))
                        continue;
                struct queue_counts counts = queue_counts(account->name);
                for (int state = 0; state < QUEUE_STATES; state++)
                        put(out, "emailsec_queue_messages{account=\"%s\",state=\"%s\"} %llu\n", account->name,
                            queue_state_name((enum queue_state)state),
                            (unsigned long long)counts.messages[state]);
        }
        put_waiting(out);
        family(out, "queue_oldest_seconds", "gauge",
               "Age of the oldest message that waits to be sent; held ones do not count.");
        for (struct account *account = accounts_first(); account; account = account->next)
                if (account_is_outgoing(account))
                        put(out, "emailsec_queue_oldest_seconds{account=\"%s\"} %lld\n", account->name,
                            (long long)queue_oldest_age(account->name));
        family(out, "sent_messages", "counter", "Messages sent.");
        put_kept(out, "sent_messages_total", KEPT_NUMBER_SENT, KIND_OUTGOING);
        family(out, "deferred_messages", "counter", "Times that a recipient was put off to a later attempt.");
        put_kept(out, "deferred_messages_total", KEPT_NUMBER_DEFERRED, KIND_OUTGOING);
        family(out, "failed_messages", "counter", "Messages that failed.");
        put_kept(out, "failed_messages_total", KEPT_NUMBER_DISCARDED, KIND_OUTGOING);
        family(out, "gathered_messages", "counter", "Messages that went into digests (maxPerRecipient).");
        put_kept(out, "gathered_messages_total", KEPT_NUMBER_GATHERED, KIND_OUTGOING);
        family(out, "received_messages", "counter", "Messages received.");
        put_kept(out, "received_messages_total", KEPT_NUMBER_RECEIVED, KIND_INCOMING);
}

/* Of a station that listens to nobody there is nothing to tell. */
static void put_submission(struct buf *out)
{
        const struct submission_counts *counts = &submission_counts;

        if (!counts->sockets)
                return;
        family(out, "submission_clients", "gauge", "Clients of the submission listener.");
        put(out, "emailsec_submission_clients %u\n", counts->clients);
        family(out, "submission_connections", "counter", "Connections to the submission listener.");
        put(out, "emailsec_submission_connections_total %llu\n", (unsigned long long)counts->connections);
        family(out, "submission_accepted_messages", "counter", "Messages that were accepted by SMTP.");
        put(out, "emailsec_submission_accepted_messages_total %llu\n", (unsigned long long)counts->accepted);
        family(out, "submission_refused", "counter",
               "Clients, sign-ins and messages that the submission listener refused.");
        for (int i = 0; i < SUBMISSION_REFUSALS; i++)
                put(out, "emailsec_submission_refused_total{reason=\"%s\"} %llu\n",
                    submission_refusal_name((enum submission_refusal)i),
                    (unsigned long long)counts->refused[i]);
}

static void put_end(void *out, const struct allowed_end *end)
{
        put(out, "emailsec_exemption_end_timestamp_seconds{id=\"%s\",host=\"%s\",port=\"%u\"} %lld\n",
            end->id, end->host, (unsigned)end->port, (long long)end->time);
}

char *metrics_text(void)
{
        struct buf out = BUF_WITH_MAX(LIMIT_METRICS);

        queue_oldest_look(); /* for the next time */

        put_accounts(&out);
        put_handshakes(&out);
        put_mail(&out);
        put_heartbeats(&out);
        put_submission(&out);
        family(&out, "challenges", "gauge", "Certificates that wait for a decision.");
        put(&out, "emailsec_challenges %zu\n", allowed_waiting());
        family(&out, "exemptions", "gauge", "Approved certificates.");
        put(&out, "emailsec_exemptions %zu\n", allowed_count("approved", false));
        family(&out, "exemption_end_timestamp_seconds", "gauge",
               "When an approval ends that has a date of its own.");
        allowed_ends(put_end, &out);
        family(&out, "station_faults", "gauge",
               "What is wrong with the station itself: its disk, its trust stores.");
        put(&out, "emailsec_station_faults %zu\n", service_fault_count());
        family(&out, "sessions", "gauge", "Sessions with mail servers.");
        put(&out, "emailsec_sessions %u\n", sessions_open());
        family(&out, "loop_lag_seconds", "gauge",
               "Longest turn of the event loop in the last minute or two.");
        put(&out, "emailsec_loop_lag_seconds %.3f\n", (double)loop_lag() / 1000);
        family(&out, "store_oldest_job_seconds", "gauge",
               "Age of the oldest unfinished job of the disk threads.");
        put(&out, "emailsec_store_oldest_job_seconds %.3f\n", (double)store_stuck_for() / 1000);
        struct disk_room room = reserve_room();
        family(&out, "disk_free_bytes", "gauge", "Free bytes on the disk of the state folder.");
        put(&out, "emailsec_disk_free_bytes %llu\n", (unsigned long long)room.free);
        family(&out, "disk_reserve_bytes", "gauge",
               "DiskReserve=: with less free nothing is fetched, with half only urgent mail taken.");
        put(&out, "emailsec_disk_reserve_bytes %llu\n", (unsigned long long)room.reserve);
        family(&out, "build_info", "gauge", "1; the version is a label.");
        put(&out, "emailsec_build_info{version=\"%s\"} 1\n", VERSION);
        put(&out, "# EOF\n");
        return buf_take_text(&out);
}
