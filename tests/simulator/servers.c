/* SPDX-License-Identifier: MIT */
/* The simulated servers and their lives; see servers.h. */
#include "tests/simulator/servers.h"

#include "tests/simulator/talk.h"
#include "tests/simulator/world.h"

#include <stdio.h>

/* Of a feature: how many histories have it, and how often it happens then. */
static const struct {
        const char *name;
        unsigned percent, permille;
} oddities[ODD_KINDS] = {
        [ODD_BUSY] = { "server.busy", 60, 60 },
        [ODD_SLOW] = { "server.slow", 60, 30 },
        [ODD_STALL] = { "server.stall", 50, 6 },
        [ODD_DROP] = { "server.drop", 60, 10 },
        [ODD_RESET] = { "server.reset", 60, 10 },
        [ODD_TEMPORARY] = { "server.temporary", 70, 80 },
        [ODD_PERMANENT] = { "server.permanent", 40, 30 },
        [ODD_LOST_REPLY] = { "server.lost-reply", 50, 60 },
        [ODD_MULTILINE] = { "server.multiline", 50, 200 },
        [ODD_SIGNIN_DOWN] = { "server.signin-down", 50, 80 },
        [ODD_UNREADABLE] = { "server.unreadable", 50, 50 },
        [ODD_LYING_SIZE] = { "server.lying-size", 40, 100 },
        [ODD_CHATTER] = { "server.chatter", 50, 100 },
        [ODD_LIMIT] = { "server.limit", 50, 200 },
        [ODD_CUT_LITERAL] = { "server.cut-literal", 50, 60 },
        [ODD_GARBAGE] = { "server.garbage", 40, 20 },
        [ODD_LEAVES] = { "server.leaves", 50, 30 },
        [ODD_CROWDED] = { "server.crowded", 50, 900 },
        [ODD_GREYLIST] = { "server.greylist", 40, 1000 },
        [ODD_FEW] = { "server.few-recipients", 40, 800 },
        [ODD_IMPATIENT] = { "server.impatient", 50, 500 },
};

struct field { /* all of them */
        struct mail_server *first, **end;
};
static struct field *field;

const char *oddity_name(enum oddity what)
{
        return oddities[what].name;
}

unsigned oddity_permille(enum oddity what)
{
        return feature(oddities[what].name, oddities[what].percent) ? oddities[what].permille : 0;
}

struct mail_server *servers_first(void)
{
        return field->first;
}

void servers_open(void)
{
        field = world_alloc(sizeof *field);
        field->end = &field->first;
}

struct mail_server *server_make(enum speech speech, const char *host, const char *address, bool starttls)
{
        static const uint16_t ports[PROVIDER_SPEECHES][2] = {
                [SPEAK_SMTP] = { 465, 587 }, [SPEAK_IMAP] = { 993, 143 }, [SPEAK_POP3] = { 995, 110 }
        };
        struct mail_server *server = world_alloc(sizeof *server), *sibling = field->first;

        while (sibling && !same_text(sibling->host, host))
                sibling = sibling->next;
        server->speech = speech;
        server->starttls = starttls;
        server->port = ports[speech][starttls];
        (void)snprintf(server->host, sizeof server->host, "%s", host);
        (void)snprintf(server->address, sizeof server->address, "%s", address);
        server->offers = (uint32_t)chance("server.offers") & OFFER_ALL;
        if (sibling) {
                sibling->sibling = server;
                server->sibling = sibling;
        } else {
                certs_make(host, world_time());
        }
        server_show(server, CERT_GOOD);
        server->listening = talk_listen(server);
        name_set(host, address);
        *field->end = server;
        field->end = &server->next;
        return server;
}

struct mail_server *server_make_local(enum speech speech, const char *name, const char *path)
{
        struct mail_server *server = world_alloc(sizeof *server);

        server->speech = speech;
        server->starttls = true;
        (void)snprintf(server->host, sizeof server->host, "%s", name);
        (void)snprintf(server->address, sizeof server->address, "%s", path);
        server->listening = talk_listen(server);
        *field->end = server;
        field->end = &server->next;
        return server;
}

struct mailbox *server_user(struct mail_server *server, const char *user, const char *password)
{
        struct mailbox *mailbox = world_alloc(sizeof *mailbox);

        (void)snprintf(mailbox->user, sizeof mailbox->user, "%s", user);
        (void)snprintf(mailbox->password, sizeof mailbox->password, "%s", password);
        mailbox->next = server->mailboxes;
        server->mailboxes = mailbox;
        return mailbox;
}

struct mailbox *server_find_user(const struct mail_server *server, const char *user)
{
        struct mailbox *mailbox = server->mailboxes;

        while (mailbox && !same_text(mailbox->user, user))
                mailbox = mailbox->next;
        return mailbox;
}

void server_is_told(const struct mail_server *server, const struct mailbox *mailbox, bool deletes)
{
        if (world_now() > (deletes ? mailbox->deleted_until : mailbox->marked_until))
                violated("policy.kept", "%s at %s has its mail %s, and nobody asked for that", mailbox->user,
                         server->host, deletes ? "deleted" : "marked as seen");
}

void server_deliver(struct mail_server *server, struct mailbox *mailbox, uint32_t number)
{
        struct letter_item *item = letter_box_add(&mailbox->box, number, world_now());
        unsigned permille = oddity_permille(ODD_UNREADABLE);

        item->unreadable = !world_is_honest() && permille && server->temper & 1u << ODD_UNREADABLE &&
                           chance_permille("odd", permille);
        item->poison = item->unreadable && chance_permille("odd", 200);
        history(server->host, "message %u comes for %s%s", number, mailbox->user,
                item->poison       ? " and can never be read"
                : item->unreadable ? " and cannot be read"
                                   : "");
        talks_news(server, mailbox);
}

void server_show(struct mail_server *server, enum cert_kind kind)
{
        server->cert = cert_of(server->host, kind, server->turn++, world_time());
        if (server->sibling)
                server->sibling->cert = server->cert;
        history(server->host, "has a certificate that is %s, %.16s", cert_kind_name(kind),
                server->cert->fingerprint);
}

/* ---- its life ---- */

static void is_back(void *ctx)
{
        struct mail_server *server = ctx;

        server_state(server->listening, LISTEN_TAKES);
        history(server->host, "is back");
}

/* Restarted, shut down in order, or as one whose cable was pulled. */
static void goes_away(struct mail_server *server)
{
        static const enum listening_state ways[] = { LISTEN_REFUSES, LISTEN_SILENT, LISTEN_UNREACHABLE };

        if (!feature("server.away", 60))
                return;
        bool silently = server->cert && feature("net.silence", 50) && chance_permille("net.silence", 500);
        bool politely = !silently && feature("server.goodbye", 50) && chance_permille("server.goodbye", 500);
        server_state(server->listening, ways[chance("server") % count_of(ways)]);
        (silently ? talks_silence : politely ? talks_leave : talks_reset)(server);
        history(server->host, "goes away%s", silently ? " without a word" : politely ? " and says so" : "");
        world_in(chance_about("server", 30 * MINUTE_MS), is_back, server);
}

/* What the resolver says of a server when all is well. */
static void is_known(void *ctx)
{
        const struct mail_server *server = ctx;

        name_set(server->host, server->address);
        name_state(server->host, NAME_ANSWERS);
}

static void is_unknown(struct mail_server *server)
{
        static const char *const ways[] = { "cannot be looked up", "is looked up in vain for half a minute",
                                            "has no address", "has an address more, where nobody is" };
        if (!server->cert || !feature("names.trouble", 50))
                return;
        size_t way = chance("names.trouble") % count_of(ways);
        scoped(scoped_free) char *more = text_of("192.0.2.%d %s", 250, server->address);
        history(server->host, "%s", ways[way]);
        name_state(server->host, way == 0 ? NAME_TRY_AGAIN : way == 1 ? NAME_HANGS : NAME_ANSWERS);
        if (way >= 2)
                name_set(server->host, way == 2 ? "" : more);
        world_in(chance_about("names.trouble", 40 * MINUTE_MS), is_known, server);
}

static void is_upgraded(struct mail_server *server)
{
        if (!feature("server.upgrade", 50))
                return;
        server->offers = (uint32_t)chance("server.offers") & OFFER_ALL;
        history(server->host, "offers other things (%x)", server->offers);
        talks_reset(server);
}

static void changes_temper(struct mail_server *server)
{
        server->temper = (uint32_t)(chance("server") & chance("server"));
        history(server->host, "is in another temper (%x)", server->temper & ((1u << ODD_KINDS) - 1));
}

static void changes_certificate(struct mail_server *server)
{
        static const enum cert_kind usual[] = { CERT_GOOD, CERT_GOOD, CERT_SHORT };

        if (!server->cert)
                return;
        if (feature("server.certificates", 60) && chance_permille("server", 600))
                server_show(server, (enum cert_kind)(chance("server") % CERT_KINDS));
        else
                server_show(server, usual[chance("server") % count_of(usual)]);
        talks_reset(server); /* it was restarted for it */
        if (server->sibling)
                talks_reset(server->sibling);
}

static void renumbers(struct mail_server *server)
{
        if (!server->mailboxes || server->speech == SPEAK_SMTP || !feature("server.renumber", 40))
                return;
        history(server->host, "numbers its mailboxes anew");
        for (struct mailbox *mailbox = server->mailboxes; mailbox; mailbox = mailbox->next)
                letter_box_renumber(&mailbox->box, server->speech == SPEAK_POP3, chance("server"));
        talks_reset(server);
}

/* Whatever could not be read can be, but for what is damaged for good. */
static void is_repaired(struct mail_server *server)
{
        for (struct mailbox *mailbox = server->mailboxes; mailbox; mailbox = mailbox->next)
                for (size_t i = 0; i < mailbox->box.count; i++)
                        mailbox->box.items[i].unreadable = mailbox->box.items[i].poison;
}

static void next_happening(struct mail_server *server);

static void happens(void *ctx)
{
        static void (*const events[])(struct mail_server *) = {
                goes_away, changes_temper, changes_temper, changes_certificate,
                renumbers, is_repaired,    is_unknown,     is_upgraded,
        };

        if (world_is_honest())
                return;
        events[chance("server") % count_of(events)](ctx);
        next_happening(ctx);
}

static void next_happening(struct mail_server *server)
{
        world_in(chance_about("server", 8 * HOUR_MS), happens, server);
}

void server_live(struct mail_server *server)
{
        changes_temper(server);
        next_happening(server);
}

void server_turn_honest(struct mail_server *server)
{
        server->temper = 0;
        is_repaired(server);
        server_state(server->listening, LISTEN_TAKES);
        if (server->cert) {
                is_known(server);
                server_show(server, CERT_GOOD);
        }
        talks_reset(server);
}
