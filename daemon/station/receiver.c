/* SPDX-License-Identifier: MIT */
/*
 * When to connect, poll, idle and end for one incoming account; see receiver.h. What is done within a look at a
 * folder is station/fetching's.
 */
#include "daemon/station/receiver.h"

#include "daemon/imap/session.h"
#include "daemon/loop.h"
#include "daemon/pop3/session.h"
#include "daemon/station/fetching.h"
#include "daemon/station/link.h"
#include "daemon/station/outbox.h"
#include "daemon/station/secrets.h"
#include "daemon/station/station.h"
#include "daemon/store/seen_table.h"

#include <stdio.h>
#include <sys/random.h>

enum {
        FAULT_RETRY = 3600,
        KEEP_OPEN_BELOW = 600,       /* pollRate up to which an IMAP session is kept between looks */
        IDLE_MOST = 25 * 60,         /* IDLE is renewed within (RFC 2177 says 29 minutes at most), */
        IDLE_PER_POLL = 10,          /* and within so many times the pollRate: the fall-back check */
        RETRY_FIRST = 5,             /* a server that is down is tried again after 5 s, then less often, */
        RETRY_MOST = 15 * 60,        /* up to this */
};

enum phase { WAITING, CONNECTING, LOOKING, RESTING, IDLING, WAKING, QUITTING };

struct poll {
        void (*done)(void *ctx, const struct poll_result *result);
        void *ctx;
        struct poll *next;
};

struct receiver {
        struct account *account;
        enum phase phase;
        struct link *link;
        struct signin signin;
        struct fetching *fetching;
        char *folders, *folders_end; /* of this session: copy of the property, cut at commas */
        const char *folder;          /* the present one */
        bool folder_open;            /* the first one is selected in this session */
        bool whole;                  /* the look to come is at all folders, not just the one of IDLE */
        int64_t whole_due;           /* when it must be, loop_now() */
        uint64_t received;           /* of the present look, all folders */
        unsigned failures;
        bool again;                  /* asked to look while looking */
        bool winding_down;
        struct timer *timer;
        struct poll *polls;
};

static uint32_t random_number(void)
{
        uint32_t number = 0;

        (void)!getrandom(&number, sizeof number, 0);
        return number;
}

static bool is_pop3(const struct receiver *receiver)
{
        return prop_is(&receiver->account->values, PROP_TRANSPORT, "pop3");
}

static const struct mailbox_class *tools(const struct receiver *receiver)
{
        return is_pop3(receiver) ? &pop3_mailbox : &imap_mailbox;
}

static void finish_polls(struct receiver *receiver, const struct cause *cause)
{
        struct poll_result result = { .received = receiver->received };

        if (cause)
                result.cause = *cause;
        while (receiver->polls) {
                struct poll *poll = receiver->polls;
                receiver->polls = poll->next;
                poll->done(poll->ctx, &result);
                free(poll);
        }
}

static void drop_session(struct receiver *receiver)
{
        fetching_free(take(receiver->fetching));
        if (receiver->link)
                link_close(take(receiver->link));
        free((char *)receiver->signin.user);
        free_secret((char *)receiver->signin.secret);
        free((char *)receiver->signin.mechanism);
        free((char *)receiver->signin.host);
        receiver->signin = (struct signin){ 0 };
        free(take(receiver->folders));
        receiver->folder_open = false;
        receiver->phase = WAITING;
}

static void wait_for(struct receiver *receiver, int64_t seconds)
{
        if (!receiver->winding_down && account_enabled(receiver->account))
                timer_set(receiver->timer, seconds * 1000);
}

static int64_t poll_rate(const struct receiver *receiver)
{
        return prop_number(&receiver->account->values, PROP_POLL_RATE);
}

static int64_t retry_delay(const struct receiver *receiver)
{
        int64_t rate = poll_rate(receiver);
        unsigned before = receiver->failures ? receiver->failures - 1 : 0;
        int64_t delay = outbox_account_delay(rate < RETRY_FIRST ? rate : RETRY_FIRST, before, random_number());

        return delay < RETRY_MOST ? delay : RETRY_MOST;
}

static void failed(struct receiver *receiver, const struct cause *cause, const char *challenge_id)
{
        struct cause why = *cause;
        char id[13];

        (void)snprintf(id, sizeof id, "%s", challenge_id);
        drop_session(receiver);
        fact_set_number(receiver->account->name, "lastPollFailure", (int64_t)loop_wall());
        fact_set_text(receiver->account->name, "lastPollFailureCause", why.text);
        account_is_ill(receiver->account, &why, id);
        if (cause_class(&why) == CLASS_DOWN)
                wait_for(receiver, retry_delay(receiver));
        else
                wait_for(receiver, outbox_account_delay(FAULT_RETRY, 0, random_number()));
        receiver->failures++;
        finish_polls(receiver, &why);
        receiver->received = 0;
}

/* ---- a look ---- */

static void begin_look(struct receiver *receiver);

static bool several_folders(const struct receiver *receiver)
{
        return receiver->folders + strlen(receiver->folders) < receiver->folders_end;
}

/* IDLE tells of the first folder only: the others are looked at by pollRate. One folder alone is checked now and
 * then, should a server say nothing; the random part spreads the accounts. */
static int64_t check_delay_ms(const struct receiver *receiver)
{
        int64_t most = poll_rate(receiver);

        if (!several_folders(receiver))
                most *= IDLE_PER_POLL;
        if (most > IDLE_MOST)
                most = IDLE_MOST;
        most *= 1000;
        return most / 2 + (int64_t)(random_number() % (uint32_t)(most / 2 + 1));
}

static void idle(struct receiver *receiver)
{
        int64_t left = receiver->whole_due - loop_now();

        receiver->phase = IDLING;
        tools(receiver)->idle(link_chat(receiver->link));
        timer_set(receiver->timer, left > 0 ? left : 0);
        link_pump(receiver->link);
}

static void rest(struct receiver *receiver)
{
        int64_t rate = poll_rate(receiver);
        bool idles = receiver->fetching && fetching_can_idle(receiver->fetching) &&
                     prop_bool(&receiver->account->values, PROP_PUSH);

        if (receiver->again && !is_pop3(receiver)) {
                receiver->whole = true;
                begin_look(receiver);
        } else if (is_pop3(receiver) || receiver->winding_down || link_contended(receiver->link) ||
                   (!idles && rate > KEEP_OPEN_BELOW)) {
                receiver->phase = QUITTING;
                link_quit(receiver->link);
        } else if (idles) {
                idle(receiver);
        } else {
                receiver->phase = RESTING;
                timer_set(receiver->timer, rate * 1000);
        }
}

static void look_done(struct receiver *receiver)
{
        receiver->failures = 0;
        fact_set_number(receiver->account->name, "lastPollSuccess", (int64_t)loop_wall());
        account_is_well(receiver->account);
        if (!is_pop3(receiver) && !receiver->again) { /* POP3 is through when QUIT was answered */
                finish_polls(receiver, NULL);
                receiver->received = 0;
        }
        rest(receiver);
}

/* The first folder comes last, so that it is the open one when IDLE begins. */
static const char *next_folder(const struct receiver *receiver)
{
        const char *end = receiver->folder + strlen(receiver->folder);

        if (receiver->folder == receiver->folders)
                return NULL;
        return end < receiver->folders_end ? end + 1 : receiver->folders;
}

static void begin_folder(struct receiver *receiver);

static void fetching_done(void *ctx, const struct fetching_result *result)
{
        struct receiver *receiver = ctx;

        receiver->received += result->received;
        if (result->cause.code != CAUSE_NONE) {
                struct cause cause = result->cause;
                failed(receiver, &cause, "");
                return;
        }
        const char *next = next_folder(receiver);
        if (next) {
                receiver->folder = next;
                begin_folder(receiver);
                return;
        }
        receiver->folder_open = true;
        look_done(receiver);
}

static void wake(struct receiver *receiver)
{
        if (receiver->phase != IDLING)
                return;
        receiver->phase = WAKING;
        tools(receiver)->wake(link_chat(receiver->link));
        link_pump(receiver->link);
}

static void idle_changed(void *ctx)
{
        wake(ctx);
}

static void idle_woken(void *ctx)
{
        struct receiver *receiver = ctx;

        receiver->whole |= loop_now() >= receiver->whole_due;
        if (receiver->winding_down)
                rest(receiver);
        else
                begin_look(receiver);
}

static void begin_folder(struct receiver *receiver)
{
        fetching_free(take(receiver->fetching));
        receiver->fetching = fetching_new(receiver->account, receiver->link, tools(receiver), receiver->folder,
                                          fetching_done, receiver);
        fetching_on_idle(receiver->fetching, idle_changed, idle_woken);
        fetching_begin(receiver->fetching, receiver->folder_open);
}

static void begin_look(struct receiver *receiver)
{
        bool others = receiver->whole && several_folders(receiver);

        if (receiver->whole)
                receiver->whole_due = loop_now() + check_delay_ms(receiver);
        receiver->again = receiver->whole = false;
        receiver->phase = LOOKING;
        timer_stop(receiver->timer);
        receiver->folder = receiver->folders;
        if (others) {
                receiver->folder += strlen(receiver->folders) + 1;
                receiver->folder_open = false;
        }
        begin_folder(receiver);
}

/* ---- session ---- */

static void session_ready(void *ctx)
{
        struct receiver *receiver = ctx;

        receiver->whole = true;
        begin_look(receiver);
}

static void session_reached(void *ctx, enum link_mark mark, const struct verdict *verdict)
{
        struct receiver *receiver = ctx;
        struct channel_info info;

        (void)verdict;
        if (mark == LINK_SECURED && link_tls_info(receiver->link, &info)) {
                account_set_tls(receiver->account, &info);
                account_count_handshake(receiver->account, &info, link_times(receiver->link).handshake);
        } else if (mark == LINK_CONNECTED && !prop_bool(&receiver->account->values, PROP_USE_SSL) &&
                 !prop_bool(&receiver->account->values, PROP_USE_STARTTLS))
                account_set_tls(receiver->account, NULL);
}

static void session_ended(void *ctx, const struct cause *why, const char *challenge_id)
{
        struct receiver *receiver = ctx;
        bool quitting = receiver->phase == QUITTING;
        bool needs_answer = receiver->fetching && fetching_needs_quit(receiver->fetching);
        struct cause cause = *why;

        if (quitting && (cause.code == CAUSE_NONE || !needs_answer)) {
                if (receiver->fetching)
                        fetching_quit_answered(receiver->fetching, cause.code == CAUSE_NONE);
                bool again = receiver->again;
                drop_session(receiver);
                if (!again) {
                        finish_polls(receiver, NULL);
                        receiver->received = 0;
                }
                receiver->again = false;
                wait_for(receiver, again ? 0 : poll_rate(receiver));
                return;
        }
        if (receiver->phase == CONNECTING && cause.code == CAUSE_CLOSED && link_trust_moved(receiver->link)) {
                drop_session(receiver);
                wait_for(receiver, 0);
                return;
        }
        if (cause.code == CAUSE_NONE)
                cause_set(&cause, CAUSE_CLOSED, "%s closed the connection",
                          prop_text(&receiver->account->values, PROP_HOSTNAME));
        /* a kept session may be closed by the server at any time: connect anew at once, once */
        bool was_resting = receiver->phase == RESTING || receiver->phase == IDLING || receiver->phase == WAKING;
        if (was_resting && cause_class(&cause) == CLASS_DOWN && receiver->failures == 0) {
                receiver->failures++;
                drop_session(receiver);
                wait_for(receiver, 1);
                return;
        }
        failed(receiver, &cause, challenge_id);
}

static const struct link_user link_user = {
        .reached = session_reached,
        .ready = session_ready,
        .ended = session_ended,
};

static struct chat *new_chat(struct receiver *receiver)
{
        const struct property_values *values = &receiver->account->values;
        bool starttls = prop_bool(values, PROP_USE_STARTTLS);

        if (is_pop3(receiver)) {
                struct pop3_config config = { receiver->signin, starttls, &fetching_mailbox_user, &receiver->fetching };
                return pop3_session_new(&config);
        }
        struct imap_config config = { receiver->signin, starttls, &fetching_mailbox_user, &receiver->fetching };
        return imap_session_new(&config);
}

static void connect_now(struct receiver *receiver)
{
        const struct property_values *values = &receiver->account->values;
        struct cause cause = { 0 };
        struct link_plan plan;
        const char *secret = NULL;

        timer_stop(receiver->timer);
        if (receiver->winding_down || !account_enabled(receiver->account))
                return;
        if (prop_text(values, PROP_ACCOUNT)[0] && !prop_is(values, PROP_AUTHENTICATION, "external")) {
                secret = secret_get(receiver->account->name, "password", &cause);
                if (!secret) {
                        failed(receiver, &cause, "");
                        return;
                }
        }
        receiver->phase = CONNECTING;
        receiver->signin = (struct signin){
                .user = copy_text(prop_text(values, PROP_ACCOUNT)),
                .secret = copy_text(secret),
                .mechanism = copy_text(prop_text(values, PROP_AUTHENTICATION)),
                .allow_plaintext = prop_bool(values, PROP_ALLOW_PLAINTEXT),
                .service = is_pop3(receiver) ? "pop" : "imap",
                .host = copy_text(prop_text(values, PROP_HOSTNAME)),
                .port = port_in_use(values),
        };
        receiver->folders = copy_text(prop_text(values, PROP_FOLDER));
        receiver->folders_end = receiver->folders + strlen(receiver->folders);
        for (char *at = receiver->folders; at < receiver->folders_end; at++)
                if (*at == ',')
                        *at = '\0';
        receiver->folder = receiver->folders;
        link_plan_of(values, &plan);
        receiver->link = link_open(&plan, new_chat(receiver), &link_user, receiver);
}

static void on_time(void *ctx)
{
        struct receiver *receiver = ctx;

        switch (receiver->phase) {
        case WAITING:
                connect_now(receiver);
                break;
        case RESTING:
                receiver->whole = true;
                begin_look(receiver);
                break;
        case IDLING:
                receiver->whole = true;
                wake(receiver);
                break;
        case CONNECTING:
        case LOOKING:
        case WAKING:
        case QUITTING:
                break;
        }
}

/* ---- from outside ---- */

struct receiver *receiver_new(struct account *account)
{
        struct receiver *receiver = new_object(struct receiver);
        uint32_t spread = station_spread_ms();

        receiver->account = account_hold(account);
        receiver->timer = timer_new(on_time, receiver);
        if (account_enabled(account))
                timer_set(receiver->timer, spread ? (int64_t)(random_number() % spread) : 0);
        return receiver;
}

void receiver_start_over(struct receiver *receiver)
{
        drop_session(receiver);
        receiver->failures = 0;
        timer_stop(receiver->timer);
        wait_for(receiver, 0);
}

void receiver_check_trust(struct receiver *receiver)
{
        if (receiver->link && !link_still_trusted(receiver->link)) {
                drop_session(receiver);
                wait_for(receiver, 0);
        }
}

void receiver_network_changed(struct receiver *receiver, bool stale, int64_t delay)
{
        bool resting = receiver->phase == RESTING || receiver->phase == IDLING || receiver->phase == CONNECTING;
        bool lost = resting && receiver->link && (stale || !link_still_routed(receiver->link));
        bool down = receiver->phase == WAITING && receiver->account->status == ACCOUNT_DOWN;

        if (receiver->winding_down || !account_enabled(receiver->account) || !(lost || down))
                return;
        drop_session(receiver);
        receiver->failures = 0;
        timer_set(receiver->timer, delay);
}

void receiver_poll(struct receiver *receiver, void (*done)(void *ctx, const struct poll_result *result), void *ctx)
{
        struct poll_result result = { 0 };

        if (!account_enabled(receiver->account)) {
                cause_set(&result.cause, CAUSE_DISABLED, "account %s is disabled", receiver->account->name);
                cause_remedy(&result.cause, "emailsecctl account enable %s", receiver->account->name);
                done(ctx, &result);
                return;
        }
        struct poll *poll = new_object(struct poll);
        *poll = (struct poll){ .done = done, .ctx = ctx, .next = receiver->polls };
        receiver->polls = poll;
        switch (receiver->phase) {
        case WAITING:
                connect_now(receiver);
                break;
        case RESTING:
                receiver->whole = true;
                begin_look(receiver);
                break;
        case IDLING:
                receiver->whole = true;
                wake(receiver);
                break;
        case CONNECTING:
        case WAKING:
                receiver->whole = true;
                break; /* the look to come answers */
        case LOOKING:
        case QUITTING:
                receiver->again = true; /* what came after this look began counts too */
                break;
        }
}

void receiver_wind_down(struct receiver *receiver)
{
        receiver->winding_down = true;
        timer_stop(receiver->timer);
        /* nothing is on its way: thousands of good-byes would only hold up the end */
        if (receiver->phase == IDLING || receiver->phase == RESTING || receiver->phase == WAKING ||
            receiver->phase == CONNECTING)
                drop_session(receiver);
}

bool receiver_busy(const struct receiver *receiver)
{
        return receiver->link || (receiver->fetching && fetching_committing(receiver->fetching));
}

void receiver_free(struct receiver *receiver)
{
        struct cause cause;

        if (!receiver)
                return;
        drop_session(receiver);
        cause_set(&cause, CAUSE_CANCELLED, "the account was removed or the daemon ends");
        finish_polls(receiver, &cause);
        timer_free(receiver->timer);
        account_release(receiver->account);
        free(receiver);
}
