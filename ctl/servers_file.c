/* SPDX-License-Identifier: MIT */
/*
 * Servers out of an autoconfig file (config-v1.1): an element for each server, with elements of text in it.
 * This reads tags and the text between them and no more of XML: no document types, no entities but the five
 * that always are.
 */
#include "ctl/servers.h"

#include "common/limits.h"
#include "common/names.h"

#include <strings.h>

enum { VALUE_MOST = 320 };

/* One server as it is read. */
struct reading {
        char transport[8], host[VALUE_MOST + 1], port[8], security[16], user[VALUE_MOST + 1];
        bool open, incoming;
};

/* The text with its entities read, cut at what there is room for; blanks around it go. */
static void put_value(const char *from, size_t len, char *to, size_t size)
{
        static const struct {
                const char *name;
                char c;
        } entities[] = {
                { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&apos;", '\'' }
        };
        size_t n = 0;

        while (len && strchr(" \t\r\n", *from)) {
                from++;
                len--;
        }
        while (len && strchr(" \t\r\n", from[len - 1]))
                len--;
        for (size_t at = 0; at < len && n + 1 < size; n++) {
                size_t step = 1;
                to[n] = from[at];
                for (size_t i = 0; i < count_of(entities); i++)
                        if (strncmp(from + at, entities[i].name, strlen(entities[i].name)) == 0) {
                                to[n] = entities[i].c;
                                step = strlen(entities[i].name);
                        }
                at += step;
        }
        to[n] = '\0';
}

/* The value of type="..." in a tag. */
static void put_type(const char *tag, size_t len, char *to, size_t size)
{
        const char *at = memmem(tag, len, "type", 4);
        size_t left = at ? len - (size_t)(at - tag) - 4 : 0;

        to[0] = '\0';
        at = at ? at + 4 : NULL;
        while (left && strchr(" \t\r\n=", *at)) {
                at++;
                left--;
        }
        if (left < 2 || (*at != '"' && *at != '\''))
                return;
        const char *end = memchr(at + 1, *at, left - 1);
        if (end)
                put_value(at + 1, (size_t)(end - at) - 1, to, size);
}

/* %EMAILADDRESS% and its parts. NULL where it is too long, or not clean. */
static char *user_of(const char *form, const char *address)
{
        const char *at = strrchr(address, '@');
        char *out = copy_text("");

        while (*form && strlen(out) < VALUE_MOST) {
                static const char *const words[] = { "%EMAILADDRESS%", "%EMAILLOCALPART%", "%EMAILDOMAIN%" };
                size_t step = 1;
                char one[2] = { *form, 0 };
                scoped(scoped_free) char *local = copy_bytes(address, (size_t)(at - address));
                const char *more[] = { address, local, at + 1 }, *add = one;
                for (size_t i = 0; i < count_of(words); i++)
                        if (strncasecmp(form, words[i], strlen(words[i])) == 0) {
                                add = more[i];
                                step = strlen(words[i]);
                        }
                scoped(scoped_free) char *before = out;
                out = text_of("%s%s", before, add);
                form += step;
        }
        if (!*form && out[0] && text_is_clean(out))
                return out;
        free(out);
        return NULL;
}

static const char *transport_of(const struct reading *reading)
{
        static const char *const transports[] = { "smtp", "imap", "pop3" };

        for (size_t i = 0; i < count_of(transports); i++)
                if (strcasecmp(reading->transport, transports[i]) == 0 && (i > 0) == reading->incoming)
                        return transports[i];
        return NULL;
}

/* 0: it is none. */
static uint16_t port_of(const char *text)
{
        unsigned long port = text[strspn(text, "0123456789")] ? 0 : strtoul(text, NULL, 10);

        return port > 65535 ? 0 : (uint16_t)port;
}

/* The element is over: taken, where it can be used and nothing better is there. */
static void take_server(const struct reading *reading, const char *address, struct servers *out)
{
        struct mail_server *server = reading->incoming ? &out->incoming : &out->outgoing;
        bool ssl = strcasecmp(reading->security, "SSL") == 0,
             starttls = strcasecmp(reading->security, "STARTTLS") == 0;
        const char *transport = transport_of(reading);
        uint16_t port = port_of(reading->port);
        bool better = !server->host || (same_text(server->transport, "pop3") && same_text(transport, "imap"));

        if (!transport || !better || (!ssl && !starttls) || !port)
                return;
        char *host = host_normal(reading->host, NULL);
        if (!host)
                return;
        free(server->host);
        free(server->user);
        *server = (struct mail_server){ .transport = transport,
                                        .security = ssl ? "ssl" : "starttls",
                                        .host = host,
                                        .port = port,
                                        .user = reading->user[0] ? user_of(reading->user, address) : NULL };
}

static bool tag_is(const char *tag, size_t len, const char *name)
{
        size_t name_len = strlen(name);

        return len >= name_len && strncasecmp(tag, name, name_len) == 0 &&
               (len == name_len || strchr(" \t\r\n/", tag[name_len]));
}

/* A tag without its brackets; `text`, `text_len`: what follows it up to the next one. */
static void hear_tag(const char *tag, size_t len, const char *text, size_t text_len, const char *address,
                     struct reading *reading, struct servers *out)
{
        const struct {
                const char *name;
                char *to;
                size_t size;
        } values[] = { { "hostname", reading->host, sizeof reading->host },
                       { "port", reading->port, sizeof reading->port },
                       { "socketType", reading->security, sizeof reading->security },
                       { "username", reading->user, sizeof reading->user } };

        if (tag_is(tag, len, "incomingServer") || tag_is(tag, len, "outgoingServer")) {
                *reading = (struct reading){ .open = true, .incoming = tag_is(tag, len, "incomingServer") };
                put_type(tag, len, reading->transport, sizeof reading->transport);
        } else if (tag_is(tag, len, "/incomingServer") || tag_is(tag, len, "/outgoingServer")) {
                if (reading->open)
                        take_server(reading, address, out);
                reading->open = false;
        }
        for (size_t i = 0; reading->open && i < count_of(values); i++)
                if (tag_is(tag, len, values[i].name) && !values[i].to[0])
                        put_value(text, text_len, values[i].to, values[i].size);
}

bool servers_by_file(const char *address, const char *text, const char *url, struct servers *out)
{
        struct reading reading = { 0 };
        const char *at = strchr(text, '<');

        while (at) {
                if (strncmp(at, "<!--", 4) == 0) {
                        at = strstr(at, "-->");
                        at = at ? strchr(at, '<') : NULL;
                        continue;
                }
                const char *end = strchr(at, '>');
                if (!end)
                        break;
                const char *next = strchr(end, '<');
                size_t text_len = next ? (size_t)(next - end) - 1 : strlen(end + 1);
                hear_tag(at + 1, (size_t)(end - at) - 1, end + 1, text_len, address, &reading, out);
                at = next;
        }
        if (out->outgoing.host || out->incoming.host)
                out->source = copy_text(url);
        return out->source != NULL;
}
