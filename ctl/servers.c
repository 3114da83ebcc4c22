/* SPDX-License-Identifier: MIT */
/* Servers by table and DNS; see servers.h. */
#include "ctl/servers.h"

#include "common/limits.h"
#include "common/names.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <strings.h>

enum { ANSWER_MOST = 16 * KIB, RECORDS_MOST = 100 };

static void server_done(struct mail_server *server)
{
        free(server->host);
        free(server->user);
        free(server->source);
        *server = (struct mail_server){ 0 };
}

void servers_done(struct servers *servers)
{
        server_done(&servers->outgoing);
        server_done(&servers->incoming);
        free(servers->source);
        *servers = (struct servers){ 0 };
}

bool servers_complete(const struct servers *servers)
{
        return servers->outgoing.host && servers->incoming.host;
}

static const char *domain_of(const char *address)
{
        const char *at = strrchr(address, '@');

        return at ? at + 1 : "";
}

/* ---- the table ---- */

/* One of the words is it, or (`ends`) an end of it behind a dot. */
static bool has_word(const char *words, const char *name, bool ends)
{
        size_t name_len = strlen(name);

        while (*words) {
                size_t len = strcspn(words, " ");
                bool fits = len && name_len >= len && strncasecmp(name + name_len - len, words, len) == 0;
                if (fits && (name_len == len || (ends && name[name_len - len - 1] == '.')))
                        return true;
                words += len + strspn(words + len, " ");
        }
        return false;
}

static void server_of_row(const struct provider *provider, const char *place, const char *transport,
                          const char *address, struct mail_server *out)
{
        char host[256] = "", security[16] = "";
        unsigned port = 0;

        if (sscanf(place, "%255s %5u %15s", host, &port, security) != 3)
                return;
        *out = (struct mail_server){ .transport = transport,
                                     .security = same_text(security, "ssl") ? "ssl" : "starttls",
                                     .host = copy_text(host),
                                     .port = (uint16_t)port };
        if (provider->user_is_local)
                out->user = copy_bytes(address, (size_t)(strrchr(address, '@') - address));
}

static void take_provider(const struct provider *provider, const char *address, char *source,
                          struct servers *out)
{
        servers_done(out);
        out->provider = provider;
        out->source = source;
        server_of_row(provider, provider->smtp, "smtp", address, &out->outgoing);
        server_of_row(provider, provider->imap, "imap", address, &out->incoming);
}

bool servers_by_table(const char *address, struct servers *out)
{
        for (size_t i = 0; i < provider_count; i++)
                if (has_word(providers[i].domains, domain_of(address), false)) {
                        take_provider(&providers[i], address,
                                      text_of("the table of providers: %s", providers[i].name), out);
                        return true;
                }
        return false;
}

/* ---- DNS ---- */

struct best {
        char host[NS_MAXDNAME];
        unsigned priority, weight, port;
        bool any;
};

/* An answer as it came (RFC 1035 section 4). */
struct message {
        const uint8_t *start, *at, *end;
};

static bool take_number(struct message *message, size_t bytes, unsigned *out)
{
        *out = 0;
        if ((size_t)(message->end - message->at) < bytes)
                return false;
        for (; bytes; bytes--)
                *out = *out << 8 | *message->at++;
        return true;
}

static bool take_name(struct message *message, char *out)
{
        int len = message->at < message->end
                          ? dn_expand(message->start, message->end, message->at, out, NS_MAXDNAME)
                          : -1;

        if (len < 0 || len > message->end - message->at)
                return false;
        message->at += len;
        return true;
}

/* The data of a record of the type that is looked for. */
static void look_at_data(struct message data, int type, struct best *best)
{
        struct best one = { .any = true };
        bool whole = take_number(&data, 2, &one.priority);

        if (type == ns_t_srv)
                whole = whole && take_number(&data, 2, &one.weight) && take_number(&data, 2, &one.port);
        if (!whole || !take_name(&data, one.host))
                return;
        if (!best->any || one.priority < best->priority ||
            (one.priority == best->priority && one.weight > best->weight))
                *best = one;
}

/* One record, and on to the next; false where there is no whole one. */
static bool take_record(struct message *message, int type, struct best *best)
{
        char name[NS_MAXDNAME];
        unsigned kind, class, life, len;

        if (!take_name(message, name) || !take_number(message, 2, &kind) ||
            !take_number(message, 2, &class) || !take_number(message, 4, &life) ||
            !take_number(message, 2, &len) || len > (size_t)(message->end - message->at))
                return false;
        if ((int)kind == type && class == ns_c_in)
                look_at_data((struct message){ message->start, message->at, message->at + len }, type, best);
        message->at += len;
        return true;
}

bool answer_best(const uint8_t *answer, size_t len, int type, char **host, uint16_t *port)
{
        struct message message = { answer, answer, answer + len };
        unsigned head[6];
        char name[NS_MAXDNAME];
        unsigned number;
        struct best best = { 0 };

        for (size_t i = 0; i < count_of(head); i++)
                if (!take_number(&message, 2, &head[i]))
                        return false;
        for (unsigned i = 0; i < head[2]; i++) /* the question */
                if (!take_name(&message, name) || !take_number(&message, 4, &number))
                        return false;
        for (unsigned i = 0; i < head[3] && i < RECORDS_MOST; i++)
                if (!take_record(&message, type, &best))
                        break;
        if (!best.any || (type == ns_t_srv && !best.port))
                return false;
        *host = best.host[0] && !same_text(best.host, ".") ? host_normal(best.host, NULL) : NULL;
        *port = (uint16_t)best.port;
        return *host != NULL;
}

static bool ask_dns(const char *name, int type, char **host, uint16_t *port)
{
        struct __res_state state = { 0 };
        static uint8_t answer[ANSWER_MOST];

        if (res_ninit(&state) < 0)
                return false;
        state.retrans = 3;
        state.retry = 2;
        int len = res_nquery(&state, name, ns_c_in, type, answer, sizeof answer);
        res_nclose(&state);
        return len > 0 && answer_best(answer, (size_t)len < sizeof answer ? (size_t)len : sizeof answer, type,
                                      host, port);
}

bool servers_by_srv(const char *address, struct servers *out)
{
        /* Of each kind the first that is there; TLS from the first byte before STARTTLS (RFC 8314
         * section 5.1), IMAP before POP3. */
        static const struct {
                const char *service, *transport, *security;
                bool incoming;
        } services[] = {
                { "_submissions", "smtp", "ssl", false }, { "_submission", "smtp", "starttls", false },
                { "_imaps", "imap", "ssl", true },        { "_imap", "imap", "starttls", true },
                { "_pop3s", "pop3", "ssl", true },        { "_pop3", "pop3", "starttls", true },
        };
        scoped(scoped_free) char *domain = host_normal(domain_of(address), NULL);

        for (size_t i = 0; domain && i < count_of(services); i++) {
                struct mail_server *server = services[i].incoming ? &out->incoming : &out->outgoing;
                scoped(scoped_free) char *name = text_of("%s._tcp.%s", services[i].service, domain);
                if (server->host || !ask_dns(name, ns_t_srv, &server->host, &server->port))
                        continue;
                server->transport = services[i].transport;
                server->security = services[i].security;
        }
        if (out->outgoing.host || out->incoming.host)
                out->source = text_of("SRV records of %s", domain);
        return out->source != NULL;
}

bool servers_by_mx(const char *address, struct servers *out)
{
        scoped(scoped_free) char *domain = host_normal(domain_of(address), NULL), *host = NULL;
        uint16_t port;

        if (!domain || !ask_dns(domain, ns_t_mx, &host, &port))
                return false;
        for (size_t i = 0; i < provider_count; i++)
                if (has_word(providers[i].exchangers, host, true)) {
                        take_provider(&providers[i], address,
                                      text_of("the MX record of %s, %s: %s", domain, host, providers[i].name),
                                      out);
                        return true;
                }
        return false;
}
