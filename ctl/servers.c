/* SPDX-License-Identifier: MIT */
/* Servers by the table of providers and DNS; see servers.h. */
#include "ctl/servers.h"

#include "common/limits.h"
#include "common/names.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <strings.h>

/* ---- the table of providers: each row is as the provider documents it for mail programs ---- */

#define APP_PASSWORD(where) "make an app password, the usual one is not taken: " where

/* clang-format off */
static const struct provider providers[] = {
        { "Gmail", "gmail.com googlemail.com", "google.com googlemail.com", "smtp.gmail.com 465 ssl", "imap.gmail.com 993 ssl", "",
          APP_PASSWORD("https://myaccount.google.com/apppasswords; or OAuth: emailsec-accounts(5)"), false },
        { "Microsoft 365 and Outlook.com", "outlook.com hotmail.com live.com msn.com outlook.de hotmail.de live.de outlook.fr hotmail.fr live.fr hotmail.co.uk outlook.es",
          "protection.outlook.com mx.microsoft", "smtp.office365.com 587 starttls", "outlook.office365.com 993 ssl", "microsoft",
          "SMTP AUTH must be allowed for the mailbox, and an application registered: emailsec-accounts(5)", false },
        { "Yahoo", "yahoo.com yahoo.de yahoo.fr yahoo.co.uk yahoo.it yahoo.es ymail.com rocketmail.com", "yahoodns.net",
          "smtp.mail.yahoo.com 465 ssl", "imap.mail.yahoo.com 993 ssl", "", APP_PASSWORD("https://login.yahoo.com/account/security"), false },
        { "AOL", "aol.com aol.de aim.com", "", "smtp.aol.com 465 ssl", "imap.aol.com 993 ssl", "",
          APP_PASSWORD("https://login.aol.com/account/security"), false },
        { "iCloud", "icloud.com me.com mac.com", "mail.icloud.com", "smtp.mail.me.com 587 starttls", "imap.mail.me.com 993 ssl", "",
          APP_PASSWORD("https://account.apple.com, App-Specific Passwords"), false },
        { "GMX", "gmx.de gmx.net gmx.at gmx.ch", "gmx.net", "mail.gmx.net 465 ssl", "imap.gmx.net 993 ssl", "",
          "allow POP3 and IMAP in the settings of the mailbox", false },
        { "GMX.com", "gmx.com gmx.us gmx.co.uk mail.com email.com", "gmx.com mail.com", "mail.gmx.com 465 ssl", "imap.gmx.com 993 ssl", "",
          "allow POP3 and IMAP in the settings of the mailbox", false },
        { "WEB.DE", "web.de", "web.de", "smtp.web.de 587 starttls", "imap.web.de 993 ssl", "",
          "allow POP3 and IMAP in the settings of the mailbox", false },
        { "T-Online", "t-online.de magenta.de", "t-online.de", "securesmtp.t-online.de 465 ssl", "secureimap.t-online.de 993 ssl", "",
          "the password is the one for mail programs, set at https://account.idm.telekom.com", false },
        { "IONOS", "online.de onlinehome.de sofortstart.de sofort-start.de go4more.de", "kundenserver.de ionos.com ionos.de ionos.co.uk ionos.fr ionos.es", "smtp.ionos.de 465 ssl", "imap.ionos.de 993 ssl", "", "", false },
        { "Strato", "strato.de", "rzone.de", "smtp.strato.de 465 ssl", "imap.strato.de 993 ssl", "", "", false },
        { "Posteo", "posteo.de posteo.net posteo.org posteo.eu posteo.at posteo.ch", "posteo.de", "posteo.de 465 ssl", "posteo.de 993 ssl", "", "", false },
        { "mailbox.org", "mailbox.org", "mailbox.org", "smtp.mailbox.org 465 ssl", "imap.mailbox.org 993 ssl", "", "", false },
        { "Freenet", "freenet.de", "freenet.de", "mx.freenet.de 465 ssl", "mx.freenet.de 993 ssl", "", "", false },
        { "Arcor and Vodafone", "arcor.de vodafone.de vodafonemail.de", "", "smtp.vodafonemail.de 465 ssl", "imap.vodafonemail.de 993 ssl", "", "", false },
        { "Fastmail", "fastmail.com fastmail.fm fastmail.net messagingengine.com", "messagingengine.com", "smtp.fastmail.com 465 ssl",
          "imap.fastmail.com 993 ssl", "", APP_PASSWORD("https://app.fastmail.com/settings/security"), false },
        { "Zoho", "zoho.com zohomail.com", "zoho.com", "smtp.zoho.com 465 ssl", "imap.zoho.com 993 ssl", "",
          "allow IMAP in the settings of the mailbox, and make an app password where sign-in has two factors", false },
        { "Zoho (EU)", "zoho.eu zohomail.eu", "zoho.eu", "smtp.zoho.eu 465 ssl", "imap.zoho.eu 993 ssl", "",
          "allow IMAP in the settings of the mailbox, and make an app password where sign-in has two factors", false },
        { "163", "163.com", "163.com netease.com", "smtp.163.com 465 ssl", "imap.163.com 993 ssl", "", "allow IMAP/SMTP in the mailbox; the password is its authorisation code", false },
        { "126", "126.com", "126.com", "smtp.126.com 465 ssl", "imap.126.com 993 ssl", "", "allow IMAP/SMTP in the mailbox; the password is its authorisation code", false },
        { "yeah.net", "yeah.net", "", "smtp.yeah.net 465 ssl", "imap.yeah.net 993 ssl", "", "allow IMAP/SMTP in the mailbox; the password is its authorisation code", false },
        { "QQ", "qq.com foxmail.com vip.qq.com", "qq.com", "smtp.qq.com 465 ssl", "imap.qq.com 993 ssl", "", "allow IMAP/SMTP in the mailbox; the password is its authorisation code", false },
        { "Aliyun", "aliyun.com", "mxhichina.com", "smtp.aliyun.com 465 ssl", "imap.aliyun.com 993 ssl", "", "", false },
        { "Yandex", "yandex.com yandex.ru ya.ru yandex.kz yandex.by yandex.ua", "yandex.net yandex.ru", "smtp.yandex.com 465 ssl", "imap.yandex.com 993 ssl", "",
          APP_PASSWORD("https://id.yandex.com/security/app-passwords"), false },
        { "Mail.ru", "mail.ru inbox.ru list.ru bk.ru internet.ru", "mail.ru", "smtp.mail.ru 465 ssl", "imap.mail.ru 993 ssl", "",
          APP_PASSWORD("https://account.mail.ru/user/2-step-auth/passwords"), false },
        { "Rambler", "rambler.ru lenta.ru ro.ru", "rambler.ru", "smtp.rambler.ru 465 ssl", "imap.rambler.ru 993 ssl", "", "allow mail programs in the settings of the mailbox", false },
        { "OVHcloud", "", "ovh.net ovh.ca", "ssl0.ovh.net 465 ssl", "ssl0.ovh.net 993 ssl", "", "", false },
        { "Gandi", "gandi.net", "gandi.net", "mail.gandi.net 465 ssl", "mail.gandi.net 993 ssl", "", "", false },
        { "Infomaniak", "ik.me ikmail.com infomaniak.com", "infomaniak.ch", "mail.infomaniak.com 465 ssl", "mail.infomaniak.com 993 ssl", "", "", false },
        { "Migadu", "migadu.com", "migadu.com", "smtp.migadu.com 465 ssl", "imap.migadu.com 993 ssl", "", "", false },
        { "Purelymail", "purelymail.com", "purelymail.com", "smtp.purelymail.com 465 ssl", "imap.purelymail.com 993 ssl", "", "", false },
        { "Runbox", "runbox.com", "runbox.com", "mail.runbox.com 465 ssl", "mail.runbox.com 993 ssl", "", "", false },
        { "mailfence", "mailfence.com", "mailfence.com", "smtp.mailfence.com 465 ssl", "imap.mailfence.com 993 ssl", "", "", false },
        { "Proton (Bridge on this machine)", "proton.me protonmail.com protonmail.ch pm.me", "protonmail.ch", "127.0.0.1 1025 starttls", "127.0.0.1 1143 starttls", "",
          "run Proton Mail Bridge here: the password is the Bridge's, and its certificate is accepted by: emailsecctl challenge list", false },
        { "Orange", "orange.fr wanadoo.fr", "orange.fr", "smtp.orange.fr 465 ssl", "imap.orange.fr 993 ssl", "", "", false },
        { "Free", "free.fr", "free.fr", "smtp.free.fr 465 ssl", "imap.free.fr 993 ssl", "", "allow authenticated SMTP in the mailbox", true },
        { "La Poste", "laposte.net", "laposte.net", "smtp.laposte.net 465 ssl", "imap.laposte.net 993 ssl", "", "allow IMAP in the settings of the mailbox", false },
        { "SFR", "sfr.fr neuf.fr", "sfr.fr", "smtp.sfr.fr 465 ssl", "imap.sfr.fr 993 ssl", "", "", false },
        { "Libero", "libero.it", "libero.it", "smtp.libero.it 465 ssl", "imapmail.libero.it 993 ssl", "", "", false },
        { "Aruba", "aruba.it", "aruba.it", "smtps.aruba.it 465 ssl", "imaps.aruba.it 993 ssl", "", "", false },
        { "WP", "wp.pl", "wp.pl", "smtp.wp.pl 465 ssl", "imap.wp.pl 993 ssl", "", "allow mail programs in the settings of the mailbox", true },
        { "Seznam", "seznam.cz email.cz post.cz", "seznam.cz", "smtp.seznam.cz 465 ssl", "imap.seznam.cz 993 ssl", "", "", false },
        { "Comcast", "comcast.net xfinity.com", "comcast.net", "smtp.comcast.net 465 ssl", "imap.comcast.net 993 ssl", "", "allow third-party programs in the settings of the mailbox", false },
        { "Amazon SES", "", "amazonaws.com", "", "", "", "sending: hostname=email-smtp.REGION.amazonaws.com, and the SMTP credentials of SES as account and password", false },
};
/* clang-format on */

/* ---- looked up ---- */

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
        for (size_t i = 0; i < count_of(providers); i++)
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
        for (size_t i = 0; i < count_of(providers); i++)
                if (has_word(providers[i].exchangers, host, true)) {
                        take_provider(&providers[i], address,
                                      text_of("the MX record of %s, %s: %s", domain, host, providers[i].name),
                                      out);
                        return true;
                }
        return false;
}
