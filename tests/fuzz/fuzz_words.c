/* SPDX-License-Identifier: MIT */
/* Words that people, files and messages bring: addresses and lists of them, hosts, fingerprints, times,
 * sizes, RFC 3461. What is accepted is clean, and is accepted again in its normal form. */
#include "common/dsn.h"
#include "common/mailboxes.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/alias_file.h"
#include "fuzz.h"

static void look_at_names(const char *text)
{
        struct cause cause = { 0 };
        uint16_t port;

        if (address_check(text, true, &cause) == 0)
                fuzz_must(text_is_clean(text) && !strpbrk(text, "\r\n"));
        scoped(scoped_free) char *address = address_of_mailbox(text);
        scoped(scoped_free) char *host = host_normal(text, &cause);
        if (host) {
                scoped(scoped_free) char *again = host_normal(host, &cause);
                fuzz_must(text_is_clean(host) && same_text(host, again));
        }
        scoped(scoped_free) char *with_port = host_port_parse(text, &port, &cause);
        fuzz_must(!with_port || text_is_clean(with_port));
        scoped(scoped_free) char *fingerprint = fingerprint_normal(text);
        fuzz_must(!fingerprint || strlen(fingerprint) <= 64);
        struct nearest nearest = { 0 };
        nearest_offer(&nearest, text, "hostname");
        (void)account_name_valid(text);
}

static void look_at_numbers(const char *text)
{
        struct cause cause = { 0 };
        char words[48];
        int64_t seconds;
        uint64_t bytes;
        time_t time, again;

        if (time_parse(text, &time, &cause) == 0) {
                time_rfc3339(time, words);
                fuzz_must(time == 0 || (time_parse(words, &again, &cause) == 0 && again == time));
                time_rfc5322(time, words);
        }
        if (duration_parse(text, &seconds, &cause) == 0)
                duration_text(seconds, words);
        if (size_parse(text, &bytes, &cause) == 0)
                size_text(bytes, words);
}

static void look_at_dsn(const char *text)
{
        char notify[DSN_NOTIFY_SIZE], again[DSN_NOTIFY_SIZE], ret[DSN_RETURN_SIZE];
        struct cause cause = { 0 };

        if (dsn_notify(text, notify, &cause) == 0)
                fuzz_must(dsn_notify(notify, again, &cause) == 0 && strcmp(notify, again) == 0);
        (void)!dsn_return(text, ret, &cause);
        (void)!dsn_envelope_id(text, &cause);
}

static void look_at_lists(const char *text)
{
        struct cause cause = { 0 };
        struct aliases aliases;
        scoped(scoped_free) char *senders = sender_list_normal(text, &cause);

        if (senders) {
                scoped(scoped_free) char *again = sender_list_normal(senders, &cause);
                fuzz_must(same_text(senders, again));
        }
        aliases_parse(text, strlen(text), &aliases);
        for (size_t i = 0; i < aliases.count; i++)
                fuzz_must(aliases_find(&aliases, aliases.of[i].name) == &aliases.of[i]);
        aliases_free(&aliases);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        scoped(scoped_free) char *text = copy_bytes((const char *)data, size);

        look_at_names(text);
        look_at_numbers(text);
        look_at_dsn(text);
        look_at_lists(text);
        return 0;
}
