/* SPDX-License-Identifier: MIT */
/*
 * Host names and IP literals in the one form that goes to the resolver and into a certificate check. libidn2
 * is loaded when the first international name needs it: with what it needs itself it is half of what the
 * loader has to do when the tool starts, which as sendmail starts for each message.
 */

#include "common/names.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dlfcn.h>
#include <idn2.h>
#include <pthread.h>
#include <stdio.h>

/* ---- international names (RFC 5891), by libidn2 ---- */

static struct {
        pthread_once_t once;
        bool there;
        int (*lookup)(const uint8_t *name, uint8_t **ascii, int flags);
        const char *(*words)(int result);
        void (*release)(void *ascii);
} library = { .once = PTHREAD_ONCE_INIT };

static bool find(void *object, const char *name, void *function, size_t size)
{
        void *symbol = object ? dlsym(object, name) : NULL;

        memcpy(function, &symbol, size);
        return symbol != NULL;
}

static void load(void)
{
        void *object = dlopen("libidn2.so.0", RTLD_NOW | RTLD_LOCAL);

        library.there = find(object, "idn2_lookup_u8", &library.lookup, sizeof library.lookup) &&
                        find(object, "idn2_strerror", &library.words, sizeof library.words) &&
                        find(object, "idn2_free", &library.release, sizeof library.release);
}

/* U-labels to A-labels; freed by the caller. NULL with CAUSE_INVALID, or CAUSE_INTERNAL where the library is
 * not there. */
static char *idn_to_ascii(const char *name, struct cause *cause)
{
        uint8_t *ascii = NULL;

        (void)pthread_once(&library.once, load);
        if (!library.there) {
                (void)cause_set(cause, CAUSE_INTERNAL,
                                "the host name %s is international, and libidn2.so.0 cannot be loaded", name);
                cause_remedy(cause, "install libidn2 (Debian: libidn2-0)");
                return NULL;
        }
        /* As browsers do: the sharp s and the final sigma stay what they are (UTS 46,
         * non-transitional). */
        int result = library.lookup((const uint8_t *)name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
        if (result != IDN2_OK) {
                cause_set(cause, CAUSE_INVALID, "the host name %s is not a valid international name: %s",
                          name, library.words(result));
                return NULL;
        }
        char *copy = copy_text((const char *)ascii);
        library.release(ascii);
        return copy;
}

/* ---- hosts ---- */

enum { HOST_MAX = 253, LABEL_MAX = 63, HOST_INPUT_MAX = 1024 };

/* An IP literal in its canonical form, NULL when `host` is none. */
static char *address_normal(const char *host)
{
        uint8_t bytes[sizeof(struct in6_addr)];
        char text[INET6_ADDRSTRLEN];

        for (size_t i = 0; i < 2; i++) {
                int family = i ? AF_INET6 : AF_INET;
                if (inet_pton(family, host, bytes) == 1 && inet_ntop(family, bytes, text, sizeof text))
                        return copy_text(text);
        }
        return NULL;
}

bool host_is_address(const char *host)
{
        char *address = address_normal(host);
        bool is = address != NULL;

        free(address);
        return is;
}

bool host_is_full(const char *host)
{
        static const char *const own[] = { "localhost", "localdomain" };
        const char *last = strrchr(host, '.');

        if (!last || strchr(host, '_') || host_is_address(host))
                return false;
        for (size_t i = 0; i < count_of(own); i++)
                if (same_text(last + 1, own[i]) ||
                    (strncmp(host, own[i], strlen(own[i])) == 0 && host[strlen(own[i])] == '.'))
                        return false;
        return true;
}

static bool is_ascii(const char *text)
{
        for (; *text; text++)
                if ((uint8_t)*text > 127)
                        return false;
        return true;
}

/* 12, 0x7f: what old resolvers read as a number, so that the whole name would be an odd IP address. */
static bool is_number(const char *label)
{
        size_t digits = strspn(label, "0123456789");

        if (!label[digits])
                return true;
        return strncmp(label, "0x", 2) == 0 && !label[2 + strspn(label + 2, "0123456789abcdef")];
}

/* What is wrong with a label in lower case, as the end of a sentence; NULL when nothing is. */
static const char *label_fault(const char *label, size_t len)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";

        if (len == 0)
                return "has an empty part between its dots";
        if (len > LABEL_MAX)
                return "has a part of more than 63 characters";
        if (label[0] == '-' || label[len - 1] == '-')
                return "has a part that begins or ends with a hyphen";
        if (strspn(label, allowed) < len)
                return "has a character that no host name has";
        return NULL;
}

static const char *name_fault(const char *name)
{
        const char *label = name;

        if (strlen(name) > HOST_MAX)
                return "is longer than 253 characters";
        for (;;) {
                size_t len = strcspn(label, ".");
                const char *fault = label_fault(label, len);
                if (fault)
                        return fault;
                if (!label[len])
                        break;
                label += len + 1;
        }
        return is_number(label) ? "ends in a number but is not an IP address" : NULL;
}

/* A dot at the end says that a name is whole: no certificate has it. */
static void lower_and_undot(char *name)
{
        size_t len = strlen(name);

        if (len > 1 && name[len - 1] == '.')
                name[len - 1] = '\0';
        for (; *name; name++)
                *name = (char)tolower((unsigned char)*name);
}

/* The text between brackets, or NULL. */
static char *without_brackets(const char *host)
{
        size_t len = strlen(host);

        return len > 2 && host[0] == '[' && host[len - 1] == ']' ? copy_bytes(host + 1, len - 2) : NULL;
}

char *host_normal(const char *host, struct cause *cause)
{
        if (!host[0] || strlen(host) > HOST_INPUT_MAX) {
                cause_set(cause, CAUSE_INVALID,
                          host[0] ? "the host name is too long" : "the host name is empty");
                return NULL;
        }
        char *scoped(scoped_free) inner = without_brackets(host);
        char *address = address_normal(inner ? inner : host);
        if (address && inner && !strchr(address, ':'))
                free(take(address)); /* brackets are for IPv6 only */
        if (address)
                return address;
        if (strpbrk(host, ":[]")) {
                cause_set(cause, CAUSE_INVALID, "%s is neither a host name nor an IP address", host);
                return NULL;
        }
        char *scoped(scoped_free) name = is_ascii(host) ? copy_text(host) : idn_to_ascii(host, cause);
        if (!name)
                return NULL;
        lower_and_undot(name);
        const char *fault = name_fault(name);
        if (fault) {
                cause_set(cause, CAUSE_INVALID, "the host name %s %s", host, fault);
                return NULL;
        }
        return take(name);
}

static int port_parse(const char *text, uint16_t *out_port, struct cause *cause)
{
        size_t digits = strspn(text, "0123456789");
        unsigned long port = digits && digits <= 5 && !text[digits] ? strtoul(text, NULL, 10) : 0;

        if (port == 0 || port > 65535)
                return cause_set(cause, CAUSE_INVALID, "%.100s is not a port: 1 to 65535", text);
        *out_port = (uint16_t)port;
        return 0;
}

char *host_port_parse(const char *text, uint16_t *out_port, struct cause *cause)
{
        const char *colon = NULL;

        if (text[0] == '[') {
                const char *end = strchr(text, ']');
                if (end && end[1] == ':')
                        colon = end + 1;
        } else {
                colon = strchr(text, ':');
                if (colon && strchr(colon + 1, ':'))
                        colon = NULL; /* an IPv6 address without brackets has no port */
        }
        uint16_t port = 0;
        if (colon && port_parse(colon + 1, &port, cause) < 0)
                return NULL;
        char *scoped(scoped_free) host = colon ? copy_bytes(text, (size_t)(colon - text)) : copy_text(text);
        char *normal = host_normal(host, cause);
        if (normal)
                *out_port = port;
        return normal;
}
