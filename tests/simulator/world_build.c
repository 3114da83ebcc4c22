/* SPDX-License-Identifier: MIT */
/* The world of a history: who and what there is, and how it comes to an honest end; see world.h. */
#include "tests/simulator/audit.h"
#include "tests/simulator/beside.h"
#include "tests/simulator/calls.h"
#include "tests/simulator/handover.h"
#include "tests/simulator/inspector.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/onlookers.h"
#include "tests/simulator/people.h"
#include "tests/simulator/witness.h"
#include "tests/simulator/world.h"

#include <stdio.h>

enum { HOSTS_MOST = 6, USERS_MOST = 4 };

static bool *honest;

bool world_is_honest(void)
{
        return *honest;
}

static void lay_files(void)
{
        static const char config[] = "[Service]\nHostname=station.plant.example\n";

        disk_put(SIM_CONFIG, config, sizeof config - 1);
        disk_put(SIM_SYSTEM_TRUST, certs_root_pem(), strlen(certs_root_pem()));
}

static const char *const words[PROVIDER_SPEECHES] = {
        [SPEAK_SMTP] = "smtp", [SPEAK_IMAP] = "imap", [SPEAK_POP3] = "pop3"
};

/* A server at that host, and accounts of the station there. */
static void build_server(int number, enum speech speech, const char *host)
{
        int64_t users = chance_between("layout", 1, USERS_MOST);
        char address[40];

        (void)snprintf(address, sizeof address, "192.0.2.%d", 10 + number);
        struct mail_server *server = server_make(speech, host, address, chance_permille("layout", 500));
        for (int k = 0; k < users; k++) {
                char name[24], user[96];
                (void)snprintf(name, sizeof name, "%s%d-%d", words[speech], number, k);
                (void)snprintf(user, sizeof user, "user%d@%.40s", k, host);
                (void)member_make(name, server, user);
        }
        server_live(server);
}

/* A provider: one host, with one server or two that have the certificate in common. */
static void build_host(int number)
{
        enum speech speech = number < PROVIDER_SPEECHES ? (enum speech)number
                                                        : (enum speech)(chance("layout") % PROVIDER_SPEECHES);
        char host[40];

        (void)snprintf(host, sizeof host, "mail%d.example", number);
        build_server(number, speech, host);
        if (chance_permille("layout", 400))
                build_server(number, (speech + 1) % PROVIDER_SPEECHES, host);
}

void world_build(void)
{
        honest = world_alloc(sizeof *honest);
        certs_open(world_time());
        calls_open();
        servers_open();
        witness_open();
        ledger_open();
        audit_open();
        people_open();
        lay_files();
        int64_t hosts = chance_between("layout", PROVIDER_SPEECHES, HOSTS_MOST);
        for (int i = 0; i < hosts; i++)
                build_host(i);
        handover_open();
        beside_open();
        inspector_open();
        onlookers_open();
}

void world_turn_honest(void)
{
        *honest = true;
        for (struct mail_server *server = servers_first(); server; server = server->next)
                server_turn_honest(server);
        people_turn_honest();
        audit_begin();
}

bool world_settled(void)
{
        return audit_is_content();
}
