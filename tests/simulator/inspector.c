/* SPDX-License-Identifier: MIT */
/* The look while the history goes on; see inspector.h. What is compared with an earlier look is kept by name.
 */
#include "tests/simulator/inspector.h"

#include "common/cleanup.h"
#include "common/times.h"
#include "tests/simulator/beside.h"
#include "tests/simulator/calls.h"
#include "tests/simulator/world.h"

#include <malloc.h>
#include <stdio.h>

enum {
        VISIT_MS = 20 * MINUTE_MS,
        FRESH_MS = 3 * MINUTE_MS,      /* the station looks at its accounts once a minute */
        WORD_LEAST = 2 * 3600,         /* seconds that a word lasts beside twice the rate, */
        WORD_WITHOUT_RATE = 2 * 86400, /* and where there is none */
        LONGEST_WAIT = 2 * 3600,       /* seconds; the daemon's longest pause is an hour and a fifth */
        STUCK_MS = 4 * HOUR_MS,        /* of one state that is to pass by itself */
        SLACK = 300,                   /* seconds */
        CALL_MOST_MS = HOUR_MS,
        HIGH_LOOKS_MOST = 9,         /* three hours */
        MEMORY_MOST = 32 << 20,      /* bytes over its least; 16 MiB are seen, hours after a flood */
        FAULT_MOST_MS = 2 * HOUR_MS, /* of fair time */
};

/* What was seen of an account or a message, and since when it is so. */
struct sight {
        char name[40], state[120];
        unsigned life;
        int64_t since; /* machine_awake() */
        bool has_left;
        int64_t left, at; /* s until it expires, as told at world_now() */
        unsigned unseen;  /* clock_unseen then */
        unsigned visit;   /* the last one that saw it */
        struct sight *next;
};

struct inspector {
        struct sight *sights;
        unsigned visit;
        bool away;          /* a call of his is under way */
        int64_t error_then; /* of the clock, when he asked */
        unsigned life;
        size_t least_memory;
        unsigned high_looks;  /* in a row */
        int64_t faultless_at; /* in fair time: nothing was wrong with the station itself */
};
static struct inspector *inspector;

static const char *text_in(json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : "";
}

/* The station's clock. */
static int64_t wall(void)
{
        return (int64_t)world_time() + machine_clock_error();
}

/* What it says of times need not hold yet. */
static bool clock_is_fresh(void)
{
        return machine_clock_error() != inspector->error_then ||
               world_now() - machine_clock_set_at() < FRESH_MS || world_now() - machine_woke_at() < FRESH_MS;
}

/* ---- what was seen ---- */

static struct sight *sight_of(const char *name)
{
        struct sight *sight = inspector->sights;

        while (sight && !same_text(sight->name, name))
                sight = sight->next;
        if (!sight) {
                sight = world_alloc(sizeof *sight);
                (void)snprintf(sight->name, sizeof sight->name, "%s", name);
                sight->next = inspector->sights;
                inspector->sights = sight;
        }
        sight->visit = inspector->visit;
        return sight;
}

static void forget_unseen(void)
{
        for (struct sight **at = &inspector->sights; *at;) {
                struct sight *sight = *at;
                if (sight->visit == inspector->visit) {
                        at = &sight->next;
                        continue;
                }
                *at = sight->next;
                world_free(sight);
        }
}

/* For how long it has been in that state without a break, ms; "": it is in none. */
static int64_t is_so_for(struct sight *sight, const char *state)
{
        if (!same_text(sight->state, state) || sight->life != daemon_life()) {
                (void)snprintf(sight->state, sizeof sight->state, "%s", state);
                sight->life = daemon_life();
                sight->since = machine_awake();
        }
        return state[0] ? machine_awake() - sight->since : 0;
}

/* ---- an account ---- */

/* Seconds. */
static int64_t age_of(json_t *account, const char *name)
{
        time_t then = 0;

        return time_parse(text_in(account, name), &then, NULL) == 0 ? wall() - (int64_t)then : 0;
}

static void word_is_new(json_t *account)
{
        const char *rate_name = same_text(text_in(account, "kind"), "outgoing") ? "checkRate" : "pollRate";
        int64_t rate = json_integer_value(json_object_get(account, rate_name));
        int64_t lasts = rate ? 2 * rate + WORD_LEAST : WORD_WITHOUT_RATE;
        int64_t age = age_of(account, "lastPollSuccess");

        if (same_text(text_in(account, "status"), "ok") && age > lasts + SLACK)
                violated("status.word", "the account %s is ok, and last worked %lld s ago (it lasts %lld s)",
                         text_in(account, "name"), (long long)age, (long long)lasts);
}

static void wait_ends_soon(const char *who, json_t *waiting, int64_t most)
{
        time_t until = 0;

        if (time_parse(text_in(waiting, "until"), &until, NULL) == 0 && (int64_t)until - wall() > most)
                violated("wait.ends", "%s waits for %lld s more (%s: %s)", who, (long long)(until - wall()),
                         text_in(waiting, "reason"), text_in(waiting, "text"));
}

static bool is_by_pause(json_t *waiting)
{
        const char *reason = text_in(waiting, "reason");

        return same_text(reason, "backoff") || same_text(reason, "throttle") || same_text(reason, "disk");
}

/* One that is down is tried again; one that connects comes to something. */
static void look_at_account(json_t *account)
{
        const char *name = text_in(account, "name"), *status = text_in(account, "status");
        json_t *waiting = json_object_get(account, "waitingFor");
        struct sight *sight = sight_of(name);
        beside_sees(name, status);
        bool ill = same_text(status, "down") || same_text(status, "fault") || same_text(status, "challenge");
        scoped(scoped_free) char *state =
                same_text(status, "down")
                        ? text_of("down since the try of %s", text_in(account, "lastPollFailure"))
                        : copy_text("");

        if (ill && !text_in(waiting, "reason")[0])
                violated("wait.reason", "the account %s is %s, and waits for nothing", name, status);
        if (is_so_for(sight, state) > STUCK_MS)
                violated("wait.ends", "the account %s was not tried again: %s", name, state);
        if (clock_is_fresh())
                return;
        word_is_new(account);
        if (is_by_pause(waiting))
                wait_ends_soon(name, waiting, LONGEST_WAIT);
}

/* ---- a message ---- */

/* It gets no older than time goes. */
static void lifetime_is_true(struct sight *sight, json_t *message)
{
        time_t expires = 0;

        if (time_parse(text_in(message, "expires"), &expires, NULL) < 0)
                return; /* its account is stopped: it does not age */
        int64_t left = (int64_t)expires - wall(), passed = (world_now() - sight->at) / SECOND_MS;
        if (sight->has_left && sight->unseen == machine_clock_unseen() && left < sight->left - passed - SLACK)
                violated("mail.ages", "message %s would expire in %lld s; %lld s ago it were %lld s",
                         sight->name, (long long)left, (long long)passed, (long long)sight->left);
        sight->has_left = true;
        sight->left = left;
        sight->at = world_now();
        sight->unseen = machine_clock_unseen();
}

static void look_at_message(json_t *message)
{
        const char *id = text_in(message, "id"), *state = text_in(message, "state");
        json_t *waiting = json_object_get(message, "waitingFor");
        struct sight *sight = sight_of(id);
        bool explained = text_in(waiting, "reason")[0] != '\0';
        scoped(scoped_free) char *now =
                explained ? copy_text("")
                          : text_of("%s after %lld attempts", state,
                                    (long long)json_integer_value(json_object_get(message, "attempts")));

        if (is_so_for(sight, now) > STUCK_MS)
                violated("wait.reason", "message %s is %s for %lld s and waits for nothing", id, now,
                         (long long)(machine_awake() - sight->since) / SECOND_MS);
        if (clock_is_fresh())
                return;
        lifetime_is_true(sight, message);
        if (is_by_pause(waiting))
                wait_ends_soon(id, waiting, LONGEST_WAIT);
}

/* ---- the station itself ---- */

/* What is wrong with it is its disk, and passes with that. */
static void look_at_faults(json_t *faults)
{
        if (!json_array_size(faults))
                inspector->faultless_at = beside_fair();
        else if (beside_fair() - inspector->faultless_at > FAULT_MOST_MS)
                violated("alarm.outlives", "the station says for %lld s of fair time: %s",
                         (long long)(beside_fair() - inspector->faultless_at) / SECOND_MS,
                         text_in(json_array_get(faults, 0), "text"));
}

/* ---- visits ---- */

static void heard_queue(void *ctx, json_t *reply, const char *error)
{
        size_t i;
        json_t *message;

        (void)ctx;
        (void)error;
        inspector->away = false;
        if (!reply)
                return;
        json_array_foreach(json_object_get(reply, "messages"), i, message)
                look_at_message(message);
        forget_unseen();
}

static void heard_status(void *ctx, json_t *reply, const char *error)
{
        size_t i;
        json_t *account;

        (void)ctx;
        (void)error;
        json_array_foreach(json_object_get(json_object_get(reply, "status"), "accounts"), i, account)
                look_at_account(account);
        if (reply)
                look_at_faults(json_object_get(json_object_get(reply, "status"), "faults"));
        station_call(MAIL_METHOD "ListQueue",
                     json_pack("{s[sssss], si}", "states", "queued", "deferred", "ambiguous", "sending",
                               "held", "limit", 200),
                     NULL, 0, heard_queue, NULL);
}

/* Of the life: it goes up and down with the work, and does not go on growing. Nothing under a sanitizer,
 * whose memory is its own. */
static void look_at_memory(void)
{
        struct mallinfo2 now = mallinfo2();
        size_t used = now.uordblks + now.hblkhd;

        if (inspector->life != daemon_life() || used < inspector->least_memory)
                inspector->least_memory = used;
        inspector->life = daemon_life();
        if (!daemon_is_ready() || used <= inspector->least_memory + MEMORY_MOST)
                inspector->high_looks = 0; /* a flood may be under way, here and at its server */
        else if (++inspector->high_looks > HIGH_LOOKS_MOST)
                violated("memory", "%zu bytes are in use, and were %zu in this life", used,
                         inspector->least_memory);
}

static void on_visit(void *ctx)
{
        (void)ctx;
        beside_look();
        look_at_memory();
        calls_look(CALL_MOST_MS);
        if (daemon_is_ready() && !inspector->away) {
                inspector->away = true;
                inspector->visit++;
                inspector->error_then = machine_clock_error();
                station_call(MAIL_METHOD "GetStatus", json_object(), NULL, 0, heard_status, NULL);
        }
        world_in(VISIT_MS / 2 + chance_between("inspector", 0, VISIT_MS), on_visit, NULL);
}

void inspector_open(void)
{
        inspector = world_alloc(sizeof *inspector);
        world_in(VISIT_MS, on_visit, NULL);
}
