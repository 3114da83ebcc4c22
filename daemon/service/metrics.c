/* SPDX-License-Identifier: MIT */
/* Counters and states rendered as OpenMetrics (one family after the other, as the format wants), in pieces.
 */
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
#include "daemon/tls/allowed.h"
#include "daemon/work_counts.h"

enum { PIECE_ACCOUNTS = 32 }; /* whose samples are put on end */

/* THE rows, below. A family has samples of accounts, by a function or a kept value, or of the station. */
struct family {
        const char *name, *type, *help; /* the name without what all begin with */
        unsigned kinds;                 /* of accounts */
        void (*of)(struct buf *out, const struct family *family, const struct account *account);
        enum kept kept; /* where `of` is NULL */
        void (*once)(struct buf *out, const struct family *family);
        bool (*there)(void); /* NULL: always */
};

static void put_all(struct buf *out, const char *format, va_list args) printf_like(2, 0);
static void put_all(struct buf *out, const char *format, va_list args)
{
        if (buf_vappendf(out, format, args) < 0)
                buf_clear(out); /* no samples are as large as that */
}

static void put(struct buf *out, const char *format, ...) printf_like(2, 3);
static void put(struct buf *out, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        put_all(out, format, args);
        va_end(args);
}

/* A line of the family: its labels and value. The suffix _total belongs to the sample of a counter and not to
 * the family, whose head is without it. */
static void sample(struct buf *out, const struct family *family, const char *format, ...) printf_like(3, 4);
static void sample(struct buf *out, const struct family *family, const char *format, ...)
{
        va_list args;

        put(out, "emailsec_%s%s", family->name, same_text(family->type, "counter") ? "_total" : "");
        va_start(args, format);
        put_all(out, format, args);
        va_end(args);
}

/* ---- of an account ---- */

/* Names of accounts go into labels as they are: account_name_valid() allows no byte that needs an escape. */
static const char *direction(const struct account *account)
{
        return account_is_outgoing(account) ? "outgoing" : "incoming";
}

/* 0 also for an account that is disabled or not known yet; account_status tells these apart. */
static void put_up(struct buf *out, const struct family *family, const struct account *account)
{
        sample(out, family, "{account=\"%s\",direction=\"%s\"} %d\n", account->name, direction(account),
               account->status == ACCOUNT_OK);
}

/* No stateset: node_exporter reads the older text format, which has none. */
static void put_status(struct buf *out, const struct family *family, const struct account *account)
{
        /* Each status has a sample, so that a query finds 0 and not a series that has gone stale. */
        for (int status = ACCOUNT_OK; status <= ACCOUNT_CHALLENGE; status++)
                sample(out, family, "{account=\"%s\",status=\"%s\"} %d\n", account->name,
                       account_status_name((enum account_status)status), (int)account->status == status);
}

/* Absent until a session with TLS has been judged. */
static void put_not_after(struct buf *out, const struct family *family, const struct account *account)
{
        if (account->tls)
                sample(out, family, "{account=\"%s\"} %lld\n", account->name,
                       (long long)account->tls->not_after);
}

/* Both count from the start of the daemon; milliseconds are kept, seconds are written, as the format
 * wants base units. */
static void put_handshakes(struct buf *out, const struct family *family, const struct account *account)
{
        sample(out, family, "_count{account=\"%s\"} %llu\n", account->name,
               (unsigned long long)account->handshakes);
        sample(out, family, "_sum{account=\"%s\"} %.3f\n", account->name,
               (double)account->handshake_ms / 1000);
}

static void put_resumed(struct buf *out, const struct family *family, const struct account *account)
{
        sample(out, family, "{account=\"%s\"} %llu\n", account->name,
               (unsigned long long)account->handshakes_resumed);
}

static void put_queue(struct buf *out, const struct family *family, const struct account *account)
{
        struct queue_counts counts = queue_counts(account->name);

        for (int state = 0; state < QUEUE_STATES; state++)
                sample(out, family, "{account=\"%s\",state=\"%s\"} %llu\n", account->name,
                       queue_state_name((enum queue_state)state), (unsigned long long)counts.messages[state]);
}

/* A reason without messages has no sample: there are too many reasons for zeros. */
static void put_waiting_for(struct buf *out, const struct family *family, const struct account *account,
                            enum waiting_reason reason, uint64_t messages)
{
        if (reason && messages)
                sample(out, family, "{account=\"%s\",reason=\"%s\"} %llu\n", account->name,
                       waiting_name(reason), (unsigned long long)messages);
}

static void put_waiting(struct buf *out, const struct family *family, const struct account *account)
{
        struct queue_counts counts = queue_counts(account->name);
        /* While the account as a whole waits for nothing, its deferred messages wait for their own next
         * attempt. Held ones wait for a person in any case. */
        uint64_t tried = counts.messages[QUEUE_DEFERRED] + counts.messages[QUEUE_AMBIGUOUS];
        struct waiting waiting;

        waiting_of(account, &waiting);
        put_waiting_for(out, family, account, waiting.reason ? waiting.reason : WAITING_FOR_BACKOFF,
                        waiting.reason ? waiting.messages : tried);
        put_waiting_for(out, family, account, WAITING_FOR_OPERATOR, counts.messages[QUEUE_HELD]);
}

static void put_waiting_until(struct buf *out, const struct family *family, const struct account *account)
{
        struct waiting waiting;

        waiting_of(account, &waiting);
        if (waiting.reason && waiting.until)
                sample(out, family, "{account=\"%s\",reason=\"%s\"} %lld\n", account->name,
                       waiting_name(waiting.reason), (long long)waiting.until);
}

static void put_oldest(struct buf *out, const struct family *family, const struct account *account)
{
        sample(out, family, "{account=\"%s\"} %lld\n", account->name,
               (long long)queue_oldest_age(account->name));
}

/* Only of accounts that send heartbeats: 0 of another would look like one that arrives. */
static void put_heartbeat(struct buf *out, const struct family *family, const struct account *account)
{
        if (prop_text(&account->values, PROP_HEARTBEAT)[0])
                sample(out, family, "{account=\"%s\"} %d\n", account->name,
                       strcmp(heartbeat_state(account), "missing") == 0);
}

/* ---- of the station ---- */

/* Without a listener its families are left out: zeros would look like one that nobody uses. */
static bool listens(void)
{
        return submission_counts.sockets > 0;
}

static void put_clients(struct buf *out, const struct family *family)
{
        sample(out, family, " %u\n", submission_counts.clients);
}

static void put_connections(struct buf *out, const struct family *family)
{
        sample(out, family, " %llu\n", (unsigned long long)submission_counts.connections);
}

static void put_accepted(struct buf *out, const struct family *family)
{
        sample(out, family, " %llu\n", (unsigned long long)submission_counts.accepted);
}

/* These counters begin at 0 with each start of the daemon; those by kept values go on. */
static void put_refused(struct buf *out, const struct family *family)
{
        for (int i = 0; i < SUBMISSION_REFUSALS; i++)
                sample(out, family, "{reason=\"%s\"} %llu\n",
                       submission_refusal_name((enum submission_refusal)i),
                       (unsigned long long)submission_counts.refused[i]);
}

static void put_challenges(struct buf *out, const struct family *family)
{
        sample(out, family, " %zu\n", allowed_waiting());
}

static void put_exemptions(struct buf *out, const struct family *family)
{
        sample(out, family, " %zu\n", allowed_count("approved", false));
}

struct ends {
        struct buf *out;
        const struct family *family;
};

static void put_end(void *ctx, const struct allowed_end *end)
{
        const struct ends *ends = ctx;

        sample(ends->out, ends->family, "{id=\"%s\",host=\"%s\",port=\"%u\"} %lld\n", end->id, end->host,
               (unsigned)end->port, (long long)end->time);
}

static void put_ends(struct buf *out, const struct family *family)
{
        allowed_ends(put_end, &(struct ends){ out, family });
}

static void put_faults(struct buf *out, const struct family *family)
{
        sample(out, family, " %zu\n", service_fault_count());
}

static void put_sessions(struct buf *out, const struct family *family)
{
        sample(out, family, " %u\n", sessions_open());
}

/* Milliseconds in, seconds out; below likewise. */
static void put_lag(struct buf *out, const struct family *family)
{
        sample(out, family, " %.3f\n", (double)loop_lag() / 1000);
}

static void put_job_age(struct buf *out, const struct family *family)
{
        sample(out, family, " %.3f\n", (double)store_stuck_for() / 1000);
}

static void put_free(struct buf *out, const struct family *family)
{
        sample(out, family, " %llu\n", (unsigned long long)reserve_room().free);
}

static void put_reserve(struct buf *out, const struct family *family)
{
        sample(out, family, " %llu\n", (unsigned long long)reserve_room().reserve);
}

static void put_build(struct buf *out, const struct family *family)
{
        sample(out, family, "{version=\"%s\"} 1\n", VERSION);
}

/* ---- all of them ---- */

static const struct family families[] = {
        { .name = "account_up",
          .type = "gauge",
          .help = "1 when the account works, as shown by a look, a delivery or a sign-in not long ago.",
          .kinds = KIND_BOTH,
          .of = put_up },
        { .name = "account_status",
          .type = "gauge",
          .help = "1 for the status that the account has.",
          .kinds = KIND_BOTH,
          .of = put_status },
        { .name = "last_success_timestamp_seconds",
          .type = "gauge",
          .help = "When the account last worked.",
          .kinds = KIND_BOTH,
          .kept = KEPT_LAST_POLL_SUCCESS },
        { .name = "last_check_timestamp_seconds",
          .type = "gauge",
          .help = "When it was last looked whether the account works.",
          .kinds = KIND_BOTH,
          .kept = KEPT_LAST_CHECKED },
        { .name = "certificate_not_after_timestamp_seconds",
          .type = "gauge",
          .help = "End of the server certificate last seen.",
          .kinds = KIND_BOTH,
          .of = put_not_after },
        { .name = "tls_handshake_seconds",
          .type = "summary",
          .help = "TLS handshakes that were completed, and the time they took.",
          .kinds = KIND_BOTH,
          .of = put_handshakes },
        { .name = "tls_resumed_handshakes",
          .type = "counter",
          .help = "Handshakes among them that resumed an earlier session.",
          .kinds = KIND_BOTH,
          .of = put_resumed },
        { .name = "queue_messages",
          .type = "gauge",
          .help = "Messages by account and state.",
          .kinds = KIND_OUTGOING,
          .of = put_queue },
        { .name = "waiting_messages",
          .type = "gauge",
          .help = "Messages that wait, by what they wait for.",
          .kinds = KIND_OUTGOING,
          .of = put_waiting },
        { .name = "waiting_until_timestamp_seconds",
          .type = "gauge",
          .help = "When an account goes on by itself; absent where nobody knows.",
          .kinds = KIND_BOTH,
          .of = put_waiting_until },
        { .name = "queue_oldest_seconds",
          .type = "gauge",
          .help = "Age of the oldest message that waits to be sent; held ones do not count.",
          .kinds = KIND_OUTGOING,
          .of = put_oldest },
        { .name = "sent_messages",
          .type = "counter",
          .help = "Messages sent.",
          .kinds = KIND_OUTGOING,
          .kept = KEPT_NUMBER_SENT },
        { .name = "deferred_messages",
          .type = "counter",
          .help = "Times that a recipient was put off to a later attempt.",
          .kinds = KIND_OUTGOING,
          .kept = KEPT_NUMBER_DEFERRED },
        { .name = "failed_messages",
          .type = "counter",
          .help = "Messages that failed.",
          .kinds = KIND_OUTGOING,
          .kept = KEPT_NUMBER_DISCARDED },
        { .name = "gathered_messages",
          .type = "counter",
          .help = "Messages that went into digests (maxPerRecipient).",
          .kinds = KIND_OUTGOING,
          .kept = KEPT_NUMBER_GATHERED },
        { .name = "received_messages",
          .type = "counter",
          .help = "Messages received.",
          .kinds = KIND_INCOMING,
          .kept = KEPT_NUMBER_RECEIVED },
        { .name = "heartbeat_missing",
          .type = "gauge",
          .help = "1 when the last heartbeat of the account did not arrive.",
          .kinds = KIND_OUTGOING,
          .of = put_heartbeat },
        { .name = "heartbeat_arrived_timestamp_seconds",
          .type = "gauge",
          .help = "When a heartbeat was last received.",
          .kinds = KIND_OUTGOING,
          .kept = KEPT_LAST_HEARTBEAT_ARRIVED },
        { .name = "heartbeat_round_trip_seconds",
          .type = "gauge",
          .help = "How long its round trip took.",
          .kinds = KIND_OUTGOING,
          .kept = KEPT_LAST_HEARTBEAT_SECONDS },
        { .name = "submission_clients",
          .type = "gauge",
          .help = "Clients of the submission listener.",
          .once = put_clients,
          .there = listens },
        { .name = "submission_connections",
          .type = "counter",
          .help = "Connections to the submission listener.",
          .once = put_connections,
          .there = listens },
        { .name = "submission_accepted_messages",
          .type = "counter",
          .help = "Messages that were accepted by SMTP.",
          .once = put_accepted,
          .there = listens },
        { .name = "submission_refused",
          .type = "counter",
          .help = "Clients, sign-ins and messages that the submission listener refused.",
          .once = put_refused,
          .there = listens },
        { .name = "challenges",
          .type = "gauge",
          .help = "Certificates that wait for a decision.",
          .once = put_challenges },
        { .name = "exemptions", .type = "gauge", .help = "Approved certificates.", .once = put_exemptions },
        { .name = "exemption_end_timestamp_seconds",
          .type = "gauge",
          .help = "When an approval ends that has a date of its own.",
          .once = put_ends },
        { .name = "station_faults",
          .type = "gauge",
          .help = "What is wrong with the station itself: its disk, its trust stores.",
          .once = put_faults },
        { .name = "sessions", .type = "gauge", .help = "Sessions with mail servers.", .once = put_sessions },
        { .name = "loop_lag_seconds",
          .type = "gauge",
          .help = "Longest turn of the event loop in the last minute or two.",
          .once = put_lag },
        { .name = "store_oldest_job_seconds",
          .type = "gauge",
          .help = "Age of the oldest unfinished job of the disk threads.",
          .once = put_job_age },
        { .name = "disk_free_bytes",
          .type = "gauge",
          .help = "Free bytes on the disk of the state folder.",
          .once = put_free },
        { .name = "disk_reserve_bytes",
          .type = "gauge",
          .help = "DiskReserve=: with less free nothing is fetched, with half only urgent mail taken.",
          .once = put_reserve },
        { .name = "build_info", .type = "gauge", .help = "1; the version is a label.", .once = put_build },
};

struct metrics_work {
        size_t family;
        bool begun; /* the family's head was written */
        struct accounts_walk walk;
};

struct metrics_work *metrics_begin(void)
{
        queue_oldest_look(); /* for the next time */
        return new_object(struct metrics_work);
}

void metrics_end(void *work)
{
        free(work);
}

static void put_sample(struct buf *out, const struct family *family, const struct account *account)
{
        if (!(family->kinds & (unsigned)account->values.kind))
                return;
        if (family->of)
                family->of(out, family, account);
        else
                sample(out, family, "{account=\"%s\"} %lld\n", account->name,
                       (long long)kept_number(account->name, family->kept));
}

/* Samples of the next accounts; false: of the last ones. */
static bool put_accounts(struct metrics_work *work, const struct family *family, struct buf *out)
{
        const struct account *account = accounts_walk_on(&work->walk);

        for (int i = 0; account && i < PIECE_ACCOUNTS; i++, account = account->next) {
                put_sample(out, family, account);
                accounts_walk_did(&work->walk, account);
        }
        return account != NULL;
}

/* Some of it; true when the family is not over. */
static bool put_family(struct metrics_work *work, const struct family *family, struct buf *out)
{
        if (family->there && !family->there())
                return false;
        if (!work->begun)
                put(out, "# TYPE emailsec_%s %s\n# HELP emailsec_%s %s\n", family->name, family->type,
                    family->name, family->help);
        work->begun = true;
        if (family->kinds)
                return put_accounts(work, family, out);
        family->once(out, family);
        return false;
}

bool metrics_next(struct metrics_work *work, struct buf *out)
{
        if (work->family == count_of(families)) {
                /* OpenMetrics wants this line; without it the text counts as cut off. */
                put(out, "# EOF\n");
                return false;
        }
        /* The walk begins anew with each family: all samples of one must stand together. */
        if (!put_family(work, &families[work->family], out))
                *work = (struct metrics_work){ .family = work->family + 1 };
        return true;
}
