/* SPDX-License-Identifier: MIT */
/* The index of accounts: for each kind an array in order of word and name of the account; see index.h. What
 * comes before anybody asks is put in order by the first question. */
#include "daemon/accounts/index.h"

#include "common/names.h"
#include "daemon/sasl/grant.h"

#include <stdio.h>
#include <strings.h>

/* Accounts, and words that are their values, leave the index before they are freed (index_remove). */
struct index_item {
        char *word;
        struct account *account;
        uint16_t port;
};
struct index_items {
        struct index_item *items;
        size_t count, size;
        bool sorted;
};
static struct index_items words[INDEX_KINDS];
static unsigned changes;

/* Else it is a value of the account, or a literal. */
static bool owns_word(enum index_kind kind)
{
        return kind == INDEX_SENDS_FOR || kind == INDEX_OWN || kind == INDEX_TOKENS;
}

/* The name of the account last: of several accounts with the same word the first by name is found, always
 * the same one. */
static int compare(const void *a, const void *b)
{
        const struct index_item *one = a, *other = b;
        int order = strcasecmp(one->word, other->word);

        if (order == 0)
                order = (int)one->port - (int)other->port;
        return order ? order : strcmp(one->account->name, other->account->name);
}

/* The first that is not before this word of that account. */
static size_t place_of(const struct index_items *of, const char *word, uint16_t port, const char *account)
{
        struct account named = { .name = (char *)(uintptr_t)account };
        struct index_item key = { (char *)(uintptr_t)word, &named, port };
        size_t from = 0, to = of->count;

        while (from < to) {
                size_t middle = from + (to - from) / 2;
                if (compare(&of->items[middle], &key) < 0)
                        from = middle + 1;
                else
                        to = middle;
        }
        return from;
}

/* ---- the words of an account ---- */

typedef void word_user(enum index_kind kind, char *word, uint16_t port, struct account *account);

/* A URL that cannot be read is nobody's. */
static void give_url(const char *url, struct account *account, word_user *use)
{
        struct http_place place = { 0 };

        if (!url || !url[0] || http_place_of(url, &place, NULL) < 0)
                return;
        use(INDEX_TOKENS, copy_text(place.host), place.port, account);
        http_place_done(&place);
}

/* Of a kind that does not own it. */
static char *value_of(const struct account *account, enum property_id id)
{
        return (char *)(uintptr_t)prop_text(&account->values, id);
}

static void give_servers(struct account *account, word_user *use)
{
        const struct property_values *values = &account->values;
        struct grant_source source;

        if (prop_bool(values, PROP_USE_SSL) || prop_bool(values, PROP_USE_STARTTLS))
                use(INDEX_SERVER, value_of(account, PROP_HOSTNAME), port_in_use(values), account);
        if (!prop_fetches_tokens(values))
                return;
        grant_source_of(values, &source);
        give_url(source.token_url, account, use);
        give_url(source.device_url, account, use);
        grant_source_done(&source);
}

static void give_senders(struct account *account, word_user *use)
{
        const char *own = prop_own_address(&account->values);

        for (const char *at = prop_text(&account->values, PROP_SENDS_FOR); *at;) {
                size_t len = strcspn(at, ",");
                if (len)
                        use(INDEX_SENDS_FOR, copy_bytes(at, len), 0, account);
                at += len + (at[len] == ',');
        }
        if (own[0])
                use(INDEX_OWN, address_on_wire(own), 0, account);
}

/* `use` takes over those that the index owns. */
static void each_word(struct account *account, word_user *use)
{
        static char none[] = "";
        const struct property_values *values = &account->values;

        if (account->unreadable) {
                use(INDEX_UNREADABLE, none, 0, account);
                return;
        }
        give_servers(account, use);
        if (prop_text(values, PROP_CLIENT_CERTIFICATE)[0])
                use(INDEX_KEY, value_of(account, PROP_CLIENT_CERTIFICATE), 0, account);
        if (account_is_outgoing(account))
                give_senders(account, use);
        else if (account_enabled(account))
                use(INDEX_RECEIVES, value_of(account, PROP_ACCOUNT), 0, account);
        if (account_is_outgoing(account) && prop_text(values, PROP_HEARTBEAT)[0])
                use(INDEX_HEARTBEAT, none, 0, account);
}

/* ---- they come and go ---- */

/* While sorted an insertion moves what is behind it; thousands of accounts at start are appended instead
 * and sorted once. */
static void put(enum index_kind kind, char *word, uint16_t port, struct account *account)
{
        struct index_items *of = &words[kind];
        size_t at = of->sorted ? place_of(of, word, port, account->name) : of->count;

        if (of->count == of->size) {
                of->size = of->size ? 2 * of->size : 16;
                of->items = new_resized(of->items, of->size, sizeof *of->items);
        }
        memmove(&of->items[at + 1], &of->items[at], (of->count - at) * sizeof *of->items);
        of->items[at] = (struct index_item){ word, account, port };
        of->count++;
}

static struct index_items *in_order(enum index_kind kind)
{
        struct index_items *of = &words[kind];

        if (!of->sorted && of->count)
                qsort(of->items, of->count, sizeof *of->items, compare);
        of->sorted = true;
        return of;
}

void index_add(struct account *account)
{
        changes++;
        each_word(account, put);
}

static void take_away(enum index_kind kind, char *word, uint16_t port, struct account *account)
{
        struct index_items *of = in_order(kind);
        size_t at = place_of(of, word, port, account->name);

        if (at < of->count && of->items[at].account == account) {
                if (owns_word(kind))
                        free(of->items[at].word);
                of->count--;
                memmove(&of->items[at], &of->items[at + 1], (of->count - at) * sizeof *of->items);
        }
        if (owns_word(kind))
                free(word);
}

static bool is_empty(void)
{
        for (int kind = 0; kind < INDEX_KINDS; kind++)
                if (words[kind].count)
                        return false;
        return true;
}

/* Before its properties change: the words to be taken away are computed from them. */
void index_remove(const struct account *account)
{
        changes++;
        if (is_empty())
                return; /* it was closed */
        each_word((struct account *)(uintptr_t)account, take_away);
}

void index_close(void)
{
        for (int kind = 0; kind < INDEX_KINDS; kind++) {
                for (size_t i = 0; owns_word((enum index_kind)kind) && i < words[kind].count; i++)
                        free(words[kind].items[i].word);
                free(words[kind].items);
        }
        memset(words, 0, sizeof words);
}

unsigned index_changes(void)
{
        return changes;
}

/* ---- questions ---- */

struct account *index_next(enum index_kind kind, const char *word, uint16_t port, const char *name)
{
        const struct index_items *of = in_order(kind);
        size_t at = place_of(of, word, port, name);

        while (at < of->count && strcmp(of->items[at].account->name, name) == 0)
                at++; /* the word may stand there twice */
        bool found =
                at < of->count && of->items[at].port == port && strcasecmp(of->items[at].word, word) == 0;
        return found ? of->items[at].account : NULL;
}

size_t index_count(enum index_kind kind)
{
        return words[kind].count;
}

struct account *index_item(enum index_kind kind, size_t number)
{
        return in_order(kind)->items[number].account;
}

/* The whole address goes before its domain. */
struct account *index_sender(const char *sender)
{
        const char *at = strrchr(sender, '@');
        struct account *account = index_next(INDEX_SENDS_FOR, sender, 0, "");

        return account || !at ? account : index_next(INDEX_SENDS_FOR, at + 1, 0, "");
}

struct account *index_own(const char *sender)
{
        return index_next(INDEX_OWN, sender, 0, "");
}
