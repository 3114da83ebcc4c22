/* SPDX-License-Identifier: MIT */
/* Onlookers and floods of mail; see onlookers.h. */
#include "tests/simulator/onlookers.h"

#include "tests/simulator/calls.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/people.h"
#include "tests/simulator/world.h"

enum {
        FLOOD_LEAST = 260, /* a batch of the daemon's has 250 */
        FLOOD_MOST = 420,
        CALLS_OF_FLOOD = 1500, /* that change the disk, about, while one comes in */
};

static void on_onlooker(void *ctx)
{
        (void)ctx;
        if (world_is_honest())
                return;
        if (daemon_is_ready())
                station_glance(MAIL_METHOD "Monitor", json_object(), chance_about("onlooker", 12 * HOUR_MS),
                               (unsigned)chance_between("onlooker", 1, 12));
        world_in(chance_about("onlooker", 2 * HOUR_MS), on_onlooker, NULL);
}

static struct member *some_incoming(void)
{
        struct member *found = NULL;
        int64_t seen = 0;

        for (struct member *member = members_first(); member; member = member->next)
                if (member->incoming && chance_between("flood", 0, seen++) == 0)
                        found = member;
        return found;
}

static void on_flood(void *ctx)
{
        struct member *member = some_incoming();
        int64_t messages = chance_between("flood", FLOOD_LEAST, FLOOD_MOST);

        (void)ctx;
        if (world_is_honest())
                return;
        if (member && chance_permille("flood", 700))
                disk_fail_once(chance_between("flood", 0, CALLS_OF_FLOOD));
        while (member && messages--)
                server_deliver(member->server, member->mailbox, ledger_next_number());
        world_in(chance_about("flood", 40 * HOUR_MS), on_flood, NULL);
}

void onlookers_open(void)
{
        if (feature("people.onlookers", 50))
                world_in(chance_about("onlooker", 2 * HOUR_MS), on_onlooker, NULL);
        if (feature("people.flood", 30))
                world_in(chance_about("flood", 10 * HOUR_MS), on_flood, NULL);
}
