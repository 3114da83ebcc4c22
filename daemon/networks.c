/* SPDX-License-Identifier: MIT */
/* Lists of addresses and networks; see networks.h. */
#include "daemon/networks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

struct network {
        int family;
        uint8_t bytes[16];
        unsigned bits;
};

enum {
        WORD_MOST = 64,
        LEAST_BITS_4 = 8,
        LEAST_BITS_6 = 16, /* of a network that has one owner */
};

static bool is_mapped(const uint8_t bytes[16])
{
        static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

        return memcmp(bytes, mapped, sizeof mapped) == 0;
}

/* Bits of an address behind its network: they would say that something else was meant. */
static bool has_bits_behind(const struct network *network)
{
        size_t size = network->family == AF_INET ? 4 : 16;

        for (size_t bit = network->bits; bit < size * 8; bit++)
                if (network->bytes[bit / 8] & (0x80U >> bit % 8))
                        return true;
        return false;
}

/* 2000::/3 is the Internet, and so are two halves of it. Of IPv6 only local networks are that wide (RFC 4193,
 * RFC 4291 section 2.5.6). */
static bool is_everybody(const struct network *network)
{
        bool local = (network->bits >= 7 && (network->bytes[0] & 0xfe) == 0xfc) ||
                     (network->bits >= 10 && network->bytes[0] == 0xfe && (network->bytes[1] & 0xc0) == 0x80);

        if (network->family == AF_INET)
                return network->bits < LEAST_BITS_4;
        return network->bits < LEAST_BITS_6 && !local;
}

/* The length of a prefix; NULL: there is none, the whole address counts. -1: it is no such length. */
static int prefix_bits(const char *digits, unsigned most)
{
        char *end = NULL;

        if (!digits)
                return (int)most;
        if (digits[0] < '0' || digits[0] > '9' || strlen(digits) > 3)
                return -1;
        unsigned long bits = strtoul(digits, &end, 10);
        return *end || bits > most ? -1 : (int)bits;
}

static int parse(const char *word, size_t len, struct network *out, struct cause *cause)
{
        char text[WORD_MOST];

        *out = (struct network){ .family = memchr(word, ':', len) ? AF_INET6 : AF_INET };
        (void)snprintf(text, sizeof text, "%.*s", len < sizeof text ? (int)len : 0, word);
        char *slash = strchr(text, '/');
        int bits = prefix_bits(slash ? slash + 1 : NULL, out->family == AF_INET ? 32 : 128);
        if (slash)
                *slash = '\0';
        if (inet_pton(out->family, text, out->bytes) != 1 || bits < 0 ||
            (out->family == AF_INET6 && is_mapped(out->bytes)))
                return cause_set(cause, CAUSE_INVALID,
                                 "%.*s is no address or network like 192.0.2.7 or 198.51.100.0/24", (int)len,
                                 word);
        out->bits = (unsigned)bits;
        if (is_everybody(out))
                return cause_set(cause, CAUSE_INVALID,
                                 "%.*s is everybody: an open relay is used by others within hours", (int)len,
                                 word);
        if (has_bits_behind(out))
                return cause_set(cause, CAUSE_INVALID, "%.*s has bits behind the network's", (int)len, word);
        return 0;
}

/* The next word of the list; false at its end. */
static bool next_word(const char **at, const char **word, size_t *len)
{
        *word = *at + strspn(*at, ", ");
        *len = strcspn(*word, ", ");
        *at = *word + *len;
        return *len > 0;
}

int networks_check(const char *list, struct cause *cause)
{
        const char *word;
        struct network network;

        for (size_t len; next_word(&list, &word, &len);)
                if (parse(word, len, &network, cause) < 0)
                        return -1;
        return 0;
}

bool networks_have(const char *list, const struct sockaddr_storage *address)
{
        const struct sockaddr_in *four = (const struct sockaddr_in *)address;
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
        bool is_four = address->ss_family == AF_INET;
        bool mapped = address->ss_family == AF_INET6 && is_mapped(six->sin6_addr.s6_addr);
        const uint8_t *bytes =
                is_four ? (const uint8_t *)&four->sin_addr : six->sin6_addr.s6_addr + (mapped ? 12 : 0);
        const char *word;
        struct network network;

        for (size_t len; list && next_word(&list, &word, &len);) {
                if (parse(word, len, &network, NULL) < 0 ||
                    (network.family == AF_INET) != (is_four || mapped))
                        continue;
                unsigned whole = network.bits / 8, rest = network.bits % 8;
                if (memcmp(bytes, network.bytes, whole) == 0 &&
                    (!rest || (bytes[whole] ^ network.bytes[whole]) >> (8 - rest) == 0))
                        return true;
        }
        return false;
}
